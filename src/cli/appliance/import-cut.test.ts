import { join } from 'node:path'
import { expect, test } from 'vitest'
import { BoxMedia, BRIDGE, newRoot, tokenOf } from '#test/support/box-media.ts'
import { dyingAt } from '#test/support/dying-disk.ts'
import { keptBox } from '../compose/box.ts'

const [one, two] = [newRoot(), newRoot()]
const config = (name: string, token: string): string =>
  `role = "bridge"\n[network]\ntoken = "${token}"\n[appliance]\nhostname = "${name}"\n`
const OLD = tokenOf(one, BRIDGE)
const NEW = tokenOf(two, BRIDGE, 2)

/** A member of one network; a stick for another one is in. */
function member(): BoxMedia {
  const box = new BoxMedia()
  box.write('stick/ntm.toml', config('old', OLD))
  box.take()
  box.enrol(one, BRIDGE, 'b1.ntm.example')
  box.write('data/ntm/plan.json', '{}')
  box.write('stick/ntm.toml', config('new', NEW))
  return box
}

/** The configuration in force by each of its parts; they must not be of two. */
function parts(box: BoxMedia): readonly (string | undefined)[] {
  const text = box.read('data/config/ntm.toml')
  return [
    /hostname = "(\w+)"\n$/.exec(text ?? '')?.[1],
    box.read('data/config/system/hostname')?.trim(),
    { [OLD]: 'old', [NEW]: 'new' }[box.read('data/config/token')?.trim() ?? ''],
  ]
}

test('cut off before any one of its changes: the old configuration or the new one, and the next start finishes', () => {
  const seen = new Set<string | undefined>()
  for (let nth = 1; ; nth++) {
    const box = member()
    try {
      const changes = dyingAt(nth, () => void box.take())
      const [name, ...others] = parts(box)
      seen.add(name)
      expect(others, `change ${nth}`).toEqual([name, name])
      expect(['old', 'new'], `change ${nth}`).toContain(name)
      const offered = box.read('stick/ntm.toml') ?? ''
      expect(offered, `change ${nth}`).toContain('hostname = "new"')
      if (!offered.includes(NEW)) expect(name).toBe('new')

      expect(['same', 'changed'], `after ${nth}`).toContain(box.take())
      expect(parts(box), `after ${nth}`).toEqual(['new', 'new', 'new'])
      expect(box.said['state']).toBe('ok')
      expect(box.read('stick/ntm.toml')).not.toContain(NEW)
      const asides = box.list('data').filter((name) => name.startsWith('ntm.before'))
      expect(keptBox(join(box.dir, 'data/ntm')), `after ${nth}`).toBeNull()
      expect(asides.map((dir) => keptBox(join(box.dir, 'data', dir))?.member?.name)).toContain('b1.ntm.example')
      expect(asides.flatMap((dir) => box.list(`data/${dir}`))).toContain('plan.json')
      if (changes < nth) {
        expect(nth).toBeGreaterThan(40)
        break
      }
    } finally {
      box.destroy()
    }
  }
  expect([...seen].sort()).toEqual(['new', 'old'])
})

test('the same for a first configuration: none, or the whole', () => {
  for (let nth = 1; ; nth++) {
    const box = new BoxMedia()
    try {
      box.write('boot/ntm.toml', config('new', NEW))
      const changes = dyingAt(nth, () => void box.take())
      const found = parts(box)
      expect(
        found[0] === undefined ? [undefined, undefined, undefined] : ['new', 'new', 'new'],
        `change ${nth}`,
      ).toEqual(found)
      expect(['same', 'changed'], `after ${nth}`).toContain(box.take())
      expect(parts(box), `after ${nth}`).toEqual(['new', 'new', 'new'])
      if (changes < nth) break
    } finally {
      box.destroy()
    }
  }
})
