import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { serveControl } from '#io/control-socket.ts'
import { awaitHealth, healthFacts, type Places, whatWorks, workedBefore } from './health.ts'

test('what works is read from the wire and from the running program', async () => {
  const places = box()
  expect(await whatWorks(places)).toEqual({ wire: '', tunnel: false })
  writeFileSync(join(places.run, 'wire'), 'state=forwarding\n')
  const server = await serveControl(join(places.sockets, 'bridge.sock'), () => ({
    role: 'bridge',
    coordinator: { state: 'registered' },
  }))
  onTestFinished(() => server.close())
  // A program that is gone left this one.
  writeFileSync(join(places.sockets, 'a.sock'), '')
  expect(await whatWorks(places)).toEqual({ wire: 'forwarding', tunnel: true })
})

test('the ports are read as the kernel tells them', async () => {
  const places = box()
  port(places, 'net0', '1', '3')
  port(places, 'host0', '0', '0')
  const { ports } = await healthFacts(places)
  expect(ports).toEqual([
    { name: 'host0', carrier: false, forwards: false },
    { name: 'net0', carrier: true, forwards: true },
  ])
})

test('good only when it was so for long enough on end', async () => {
  const places = box()
  writeFileSync(join(places.run, 'config'), 'state=none\n')
  const wire = join(places.run, 'wire')
  const told: string[] = []
  let now = 0
  // The wire comes at 20 s, goes at 26 s, and comes for good at 30 s.
  const upSeconds = (): number => {
    now += 2
    if (now === 20 || now === 30) writeFileSync(wire, 'state=forwarding\n')
    if (now === 26) rmSync(wire)
    return now
  }
  const verdict = await awaitHealth(places, { untilSeconds: 600, holdSeconds: 10, everyMs: 1, upSeconds }, ({ why }) =>
    told.push(why),
  )
  expect(verdict.good).toBe(true)
  expect(now).toBeGreaterThanOrEqual(40)
  expect(now).toBeLessThan(50)
  expect(told).toHaveLength(4)
})

test('the time is over: the last reason is the verdict, and good too late is not good', async () => {
  const places = box()
  const hurry = { untilSeconds: 4, holdSeconds: 10, everyMs: 1 }
  let now = 0
  expect(await awaitHealth(places, { ...hurry, upSeconds: () => now++ }, () => {})).toEqual({
    good: false,
    why: 'the wire has not been set up',
  })
  writeFileSync(join(places.run, 'wire'), 'state=forwarding\n')
  writeFileSync(join(places.run, 'config'), 'state=none\n')
  now = 0
  const late = await awaitHealth(places, { ...hurry, upSeconds: () => now++ }, () => {})
  expect(late.good).toBe(false)
  expect(late.why).toMatch(/not for long enough/)
})

test('what worked before the update is in pending', () => {
  const places = box()
  expect(workedBefore(places)).toEqual({ wire: '', tunnel: false })
  mkdirSync(join(places.data, 'update'))
  writeFileSync(join(places.data, 'update/pending'), 'slot=B\nwire=forwarding\ntunnel=yes\n')
  expect(workedBefore(places)).toEqual({ wire: 'forwarding', tunnel: true })
})

function box(): Places {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-health-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const places = {
    run: join(dir, 'run'),
    data: join(dir, 'data'),
    sys: join(dir, 'sys'),
    sockets: join(dir, 'sockets'),
  }
  for (const made of [...Object.values(places), join(places.sys, 'br0/brif')]) mkdirSync(made, { recursive: true })
  return places
}

function port({ sys }: Places, name: string, carrier: string, state: string): void {
  mkdirSync(join(sys, 'br0/brif', name), { recursive: true })
  mkdirSync(join(sys, name, 'brport'), { recursive: true })
  writeFileSync(join(sys, name, 'carrier'), `${carrier}\n`)
  writeFileSync(join(sys, name, 'brport/state'), `${state}\n`)
}
