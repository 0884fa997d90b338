import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import type { Board, InLine } from '#lab/scenes/box-in-line.ts'
import type { VmPlan } from '#lab/vm/plan.ts'
import { keyValues } from '#lab/vm/ssh.ts'
import { describeImage, lineForTest } from '#test/support/image.ts'

// Only as far as the boot loader: what GRUB and U-Boot make of the words that Linux wrote, and what they leave of them.

const TOOL = join(ROOT, 'board/common/overlay/usr/lib/ntm/boot-state')

boots('x86_64', 'bios')
boots('x86_64', 'uefi')
boots('rpi-arm64', 'raspi3b')

function boots(board: Board, machine: NonNullable<VmPlan['machine']>): void {
  describeImage(`the boot loader's memory, ${machine}`, board, () => {
    test('a new image, then one whose slot B is on trial: a start is taken away, every other word is kept, nothing is warned of', async () => {
      const scene = await lineForTest({ board, machine })
      await starts(scene, 'A')
      expect(state(scene, board, 'show')).toMatchObject({ ORDER: 'A B', A_LEFT: '2', B_LEFT: '3', TRIAL: 'none' })
      state(scene, board, 'set-primary', 'B')
      await starts(scene, 'B')
      const left = { ORDER: 'B A', A_LEFT: '2', B_LEFT: '2', TRIAL: 'B', one: 'whole', two: 'whole' }
      expect(state(scene, board, 'show')).toMatchObject(left)
      expect(scene.vm.console.find(/warning/i)).toBeNull()
    })
  })
}

/** Power, until the loader says which slot it starts. */
async function starts({ vm }: InLine, slot: 'A' | 'B'): Promise<void> {
  const since = vm.mark()
  await vm.start()
  await vm.until(new RegExp(`ntm-boot: starting slot ${slot} `), { since })
  await vm.powerCut()
}

function state({ lab, vm }: InLine, board: Board, ...args: readonly string[]): Readonly<Record<string, string>> {
  const about = (file: string): string[] => [`NTM_STATE=${file}`, `NTM_BOARD=${board}`, `NTM_RUN=${lab.dir}`]
  const said = vm.disk.withPartition('state', 'env', (file) => [
    ...about(file),
    'NTM_CMDLINE=/dev/null',
    'sh',
    TOOL,
    ...args,
  ])
  return keyValues(said)
}
