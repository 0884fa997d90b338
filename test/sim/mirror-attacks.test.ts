import './as-mirror.ts'
import './attacks.test.ts'
