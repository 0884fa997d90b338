import './as-mirror.ts'
import './open.test.ts'
