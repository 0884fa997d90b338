import { expect, onTestFinished, test } from 'vitest'
import { Lab } from '#lab/netns.ts'
import { describeLab } from '#test/support/lab.ts'

// A namespace in which a program of its own owns a table.

describeLab('owned tables', () => {
  test.each([
    ['a terminal nobody has heard of', 'nonsense'],
    ['an ordinary one', 'linux'],
  ])('%s: what nft says at its start is no refusal, and what it refuses is told', async (_, TERM) => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    lab.room('box')
    const code = `
      const { OwnedTables } = await import(${JSON.stringify(`${import.meta.dirname}/nft.ts`)})
      const tables = new OwnedTables()
      await tables.run('table ip mine { flags owner; }')
      const why = await tables.run('add rule ip mine nowhere accept').catch((fault) => fault.code)
      await tables.close()
      console.log('refused: ' + why)`
    const env = { ...process.env, TERM }
    const done = await lab.run('box', process.execPath, ['--input-type=module', '-e', code], { env })
    expect(done.stderr).toBe('')
    expect(done.stdout).toBe('refused: REFUSED\n')
  })
})
