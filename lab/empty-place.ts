import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Product } from './product.ts'
import { PLACE, type Scene } from './scenes/v4-host-to-v6-server.ts'
import { boxFiles } from './vm/box-files.ts'
import { tapOf } from './vm/plan.ts'
import { plugIn } from './vm/plug.ts'

/** A place in a scene that waits for a box: taps in its room, and what its stick has to bear. */
export type EmptyPlace = { readonly taps: readonly string[]; readonly stick: string }

/**
 * Leaves the bridge's place to a box that somebody starts by hand: coordinator and TT run as programs, the cables of the place end in taps,
 * `stick/` has its configuration and token. The scene must have been built with `machines: ['bridge']`.
 */
export async function emptyPlace(scene: Scene): Promise<EmptyPlace> {
  const { lab } = scene
  const product = new Product(scene)
  await product.initNetwork()
  await product.coordinator()
  await product.tt()
  const token = await product.token('bridge1', 'bridge')
  const stick = join(lab.dir, 'stick')
  mkdirSync(stick)
  const files = boxFiles({ role: 'bridge', appliance: { hostname: 'bridge1' } })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(stick, name), text)
  copyFileSync(token, join(stick, 'token'))
  const links = [PLACE.bridge.netPort, PLACE.bridge.hostPort]
  for (const link of links) plugIn(lab, 'bridge', link)
  return { taps: links.map(tapOf), stick }
}

/** The host asks for an address until a box lets it through; then says so. */
export async function hostAsks(scene: Scene, say: (text: string) => void): Promise<void> {
  for (;;) {
    try {
      await scene.hostDhcp()
      return say(`the host has ${await scene.address4('host', PLACE.host.link)}, through the box`)
    } catch {
      // Nobody in its place yet, or just starting: asked again.
      await new Promise((resolve) => setTimeout(resolve, 2000))
    }
  }
}
