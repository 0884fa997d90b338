import { coordinatorStoreContract } from '#test/contract/coordinator-store.ts'
import { MemoryStore } from './store-memory.ts'

coordinatorStoreContract(() => new MemoryStore(), null)
