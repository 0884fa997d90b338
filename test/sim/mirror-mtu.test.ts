import './as-mirror.ts'
import './mtu.test.ts'
