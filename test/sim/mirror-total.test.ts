import './as-mirror.ts'
import './total.test.ts'
