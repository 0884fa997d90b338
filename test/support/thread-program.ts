// A worker for the tests of `io/thread.ts`: does what it is told, one deed per message.
import { IoFault } from '#io/fault.ts'
import { Gate } from '#io/thread-gate.ts'
import { serveThread, type ThreadProgram, type ThreadSide } from '#io/thread-side.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'

export type Deed =
  | { deed: 'echo'; value: unknown }
  | { deed: 'throw'; what: 'io' | 'bug' | 'config' }
  | { deed: 'crash'; how: 'throw' | 'reject' | 'exit' }
  | { deed: 'count'; name: string; by: number }
  | { deed: 'flood'; items: number; gate: SharedArrayBuffer; limit: number }
  | { deed: 'busy'; millis: number }
  | { deed: 'hang' }
export type Config = { failAtStart?: boolean; neverStop?: boolean }

class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

let loaded: unknown = null

serveThread<Config, Deed, unknown>(start, async (hint) => {
  loaded = hint
})

async function start(config: Config, side: ThreadSide<unknown>): Promise<ThreadProgram<Deed>> {
  if (config.failAtStart === true) throw fault()
  return {
    started: loaded === null ? { config } : { config, loaded },
    tell: (d) => {
      const value = act(d)
      if (value !== undefined) side.tell(value)
    },
    ask: (d) => act(d),
    beforeCounts: () => side.counters.count('asked-before', 1),
    stop: () => (config.neverStop === true ? new Promise(() => {}) : undefined),
  }

  function act(d: Deed): unknown {
    switch (d.deed) {
      case 'echo':
        side.log.info('echo.done', { bytes: 1 })
        return d.value
      case 'throw':
        throw d.what === 'io' ? fault() : d.what === 'bug' ? new BugError('ours') : new ConfigError('theirs')
      case 'crash':
        if (d.how === 'exit') process.exit(0)
        if (d.how === 'throw') throw fault()
        void Promise.reject(fault())
        return undefined
      case 'count':
        return side.counters.count(d.name, d.by)
      case 'flood': {
        const gate = new Gate(d.gate, d.limit)
        let lost = 0
        for (let i = 0; i < d.items; i++) gate.enter() ? side.tell(i) : lost++
        return side.tell({ lost })
      }
      case 'busy': {
        const until = performance.now() + d.millis
        while (performance.now() < until);
        return 'done'
      }
      case 'hang':
        for (;;);
    }
  }
}

function fault(): IoFault {
  return new IoFault('open it', Object.assign(new Error('not there'), { code: 'ENOENT' }))
}
