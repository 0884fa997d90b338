// Runs the packet-port contract for one kind of port inside the namespace it was started in; one JSON line per case.
import { packetPortContract } from '#test/contract/packet-port.ts'
import { packetExtras } from './packet-extras.ts'
import { SCENES } from './packet-rigs.ts'

const kind = process.argv[2] ?? ''
const scene = SCENES[kind]
if (scene === undefined) throw new Error(`no scene ${kind}`)
scene.prepare()
for (const { name, run } of packetPortContract) {
  const rig = scene.open()
  await report(name, () => run(rig))
  rig.a.close()
  rig.b.close()
}
for (const { name, run } of packetExtras[kind] ?? []) await report(name, run)

async function report(name: string, run: () => Promise<void>): Promise<void> {
  let fault = ''
  try {
    await run()
  } catch (error) {
    fault = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  process.stdout.write(`${JSON.stringify({ name, fault })}\n`)
}
