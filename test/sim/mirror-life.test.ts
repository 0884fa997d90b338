import './as-mirror.ts'
import './life.test.ts'
