import './as-mirror.ts'
import './rekey.test.ts'
