import { afterAll, beforeAll, expect, test } from 'vitest'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { Rig, type Role } from './rig.ts'

// What goes wrong around a name, on the real system: what the host gets and when, what the logs say, what stays behind.

/** IPv6-only names whose only address no packet may ever be sent to. */
const FORBIDDEN = {
  loopback: '::1',
  mapped: '::ffff:10.0.0.1',
  metadata: 'fd00:ec2::254',
  nat64: '64:ff9b::7f00:1',
  private: 'fd12:3456:789a::1',
  virtual: '2002:c612:1::1',
  coordinator: PLACE.coordinator.ip6,
} as const
const RECORDS = [
  ...Object.entries(FORBIDDEN).map(([name, ip]) => `${name} AAAA ${ip}`),
  ...Array.from({ length: 12 }, (_, i) => `name${i} AAAA ${PLACE.web6.ip6}`),
]

/** A query is answered, and answered in time: `dns.hold` is 2 s. */
const IN_TIME = 2300

describeLab('faults around names', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await Rig.up({ records: RECORDS })
    await rig.warm()
  })
  afterAll(() => rig?.dispose())

  /** Runs one fault; afterwards machines, tables and rows are what they were, and the page comes again. */
  async function fault(body: () => Promise<void>, late?: string): Promise<void> {
    const [machine, rows, tables] = [await rig.machine(), rig.rows(), await rig.tables()]
    await body()
    expect(await rig.machine()).toBe(machine)
    expect(rig.rows()).toBe(rows)
    if (late === undefined) expect(unhurried(await rig.tables())).toBe(unhurried(tables))
    // A terminator that woke up took the name in when nobody waited any more: the name must work all the same.
    else expect(await rig.ask(late)).toMatchObject({ status: 'NOERROR', answers: expect.stringContaining('198.19.') })
    expect(await rig.page()).toBe(true)
  }

  const said = (role: Role, mark: number, event: string): string[] =>
    rig
      .since(role, mark)
      .filter((l) => l.event === event)
      .map((l) => JSON.stringify(l))

  test.each(Object.keys(FORBIDDEN))(
    'a name that resolves to a forbidden address (%s): the original NODATA, one line, no packet out',
    (name) =>
      fault(async () => {
        const marks = { tt: rig.mark('tt'), bridge: rig.mark('bridge') }
        const plain = await rig.ask(`${name}.example`, 'A', 'neighbour')
        for (let i = 0; i < 3; i++) {
          const got = await rig.ask(`${name}.example`)
          expect([got.status, got.answers]).toEqual([plain.status, ''])
          expect(got.ms).toBeLessThan(IN_TIME)
        }
        expect(said('tt', marks.tt, 'server.refused').length).toBe(1)
        expect(said('tt', marks.tt, 'server.refused')[0]).toContain('bad-address')
        expect(said('bridge', marks.bridge, 'direction.refused').length).toBe(1)
      }),
  )

  test('the terminator cannot reach its resolver: SERVFAIL in time, one line per question, and back by itself', () =>
    fault(async () => {
      rig.scene.lab.nft(
        'resolver',
        `table inet fault { chain in { type filter hook input priority 0; ip saddr ${PLACE.tt.ip4} drop; }; }`,
      )
      const mark = rig.mark('tt')
      try {
        const got = await rig.ask('name1.example')
        expect([got.status, got.answers]).toEqual(['SERVFAIL', ''])
        expect(got.ms).toBeLessThan(IN_TIME)
        expect(said('tt', mark, 'server.refused').length).toBeLessThanOrEqual(1)
        // What was asked before the fault is still known, and works.
        expect(await rig.page()).toBe(true)
      } finally {
        rig.scene.lab.nft('resolver', 'delete table inet fault')
      }
    }))

  test('the resolver is dead: the host hears what it would hear without a bridge, in the same time', () =>
    fault(async () => {
      const [resolver] = await rig.scene.lab
        .must('resolver', 'sh', ['-c', 'ip netns pids $(ip netns identify)'])
        .then((t) => t.trim().split('\n'))
      process.kill(Number(resolver), 'SIGSTOP')
      try {
        const [bridged, plain] = await Promise.all([
          rig.ask('name2.example'),
          rig.ask('name2.example', 'A', 'neighbour'),
        ])
        expect(bridged.status).toBe(plain.status)
        expect(bridged.answers).toBe('')
        expect(await rig.page()).toBe(true)
      } finally {
        process.kill(Number(resolver), 'SIGCONT')
      }
    }))

  test('the terminator is frozen: SERVFAIL in time, one line at the coordinator, and names work when it is back', () =>
    fault(async () => {
      rig.program('tt').kill('SIGSTOP')
      const marks = { coordinator: rig.mark('coordinator'), bridge: rig.mark('bridge') }
      try {
        const got = await rig.ask('name3.example')
        expect([got.status, got.answers]).toEqual(['SERVFAIL', ''])
        expect(got.ms).toBeLessThan(IN_TIME)
        expect(said('coordinator', marks.coordinator, 'direction.unanswered').length).toBe(1)
        expect(said('bridge', marks.bridge, 'direction.refused').length).toBe(1)
        expect(said('bridge', marks.bridge, 'direction.refused')[0]).toContain('peer-silent')
      } finally {
        rig.program('tt').kill('SIGCONT')
      }
    }, 'name3.example'))

  test("the terminator's cable is cut: SERVFAIL in time, and names work when it is back", () =>
    fault(async () => {
      rig.scene.lab.ip('inet', 'link set tt down')
      try {
        const got = await rig.ask('name4.example')
        expect([got.status, got.answers]).toEqual(['SERVFAIL', ''])
        expect(got.ms).toBeLessThan(IN_TIME)
      } finally {
        rig.scene.lab.ip('inet', 'link set tt up')
        // The kernel took the routes and the neighbour's address with the cable.
        rig.scene.lab.ip('inet', `addr replace ${PLACE.tt.ip6.replace(/::.*/, '::1')}/64 dev tt`)
      }
    }))

  test('the coordinator is down: new names get SERVFAIL in time, known names and running tunnels do not notice', async () => {
    const rows = rig.rows()
    await rig.kill('coordinator')
    const mark = rig.mark('bridge')
    const got = await rig.ask('name5.example')
    // Without its coordinator the box lets the original answer pass, or says SERVFAIL: never an address.
    expect(['SERVFAIL', 'NOERROR']).toContain(got.status)
    expect(got.answers).toBe('')
    expect(got.ms).toBeLessThan(IN_TIME)
    expect(await rig.page()).toBe(true)
    const lines = rig.since('bridge', mark).map((l) => l.event)
    expect(lines.length, lines.join()).toBeGreaterThan(0)
    expect(new Set(lines).size, lines.join()).toBe(lines.length)
    expect(rig.rows()).toBe(rows)
    await rig.again('coordinator')
    // The terminator is back within its keep-alive of 5 s (and its retransmissions), the bridge with its next question.
    const began = performance.now()
    for (;;) {
      if ((await rig.ask('name6.example')).answers !== '') break
      expect(performance.now() - began).toBeLessThan(10_000)
    }
    expect(rig.rows(['member', 'pin', 'host', 'token'])).toBe(
      rows
        .split('\n')
        .filter((l) => /^(member|pin|host|token)/.test(l))
        .join('\n'),
    )
  })
})

/** Flows of earlier requests end by themselves; what counts is that no path and no server is left over. */
const unhurried = (tables: string): string =>
  tables
    .split('\n')
    .filter((l) => !l.includes('flows'))
    .join('\n')
