import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { askControl, type ControlAnswer, serveControl } from './control-socket.ts'

test('one request, one answer; only the owner may open the socket', async () => {
  const { path } = await serve(({ ask }) => ({ asked: ask }))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const { answer, end } = await askControl(path, { ask: 'status' })
  expect(answer).toEqual({ asked: 'status' })
  end()
})

test('what goes wrong in an answer is said, and the next request is answered', async () => {
  const { path } = await serve(({ ask }) => {
    if (ask === 'broken') throw new Error('it is broken')
    return ask === 'nothing' ? null : { fine: true }
  })
  const said = await lines(path, '{"ask":"broken"}\nno json\n[1]\n{"ask":"nothing"}\n{"ask":"x"}\n', 5)
  expect(said.slice(0, 1)).toEqual([{ error: 'it is broken' }])
  expect(said[1]).toHaveProperty('error')
  expect(said.slice(2)).toEqual([{ error: 'a request is a JSON object' }, { error: 'not known here' }, { fine: true }])
})

test('answers come in the order of the requests, however long each takes', async () => {
  const { path } = await serve(async ({ ms }) => {
    await new Promise((resolve) => setTimeout(resolve, Number(ms)))
    return { ms }
  })
  expect(await lines(path, '{"ms":40}\n{"ms":0}\n', 2)).toEqual([{ ms: 40 }, { ms: 0 }])
})

test('a request without an end does not fill the memory', async () => {
  const { path } = await serve(() => ({}))
  const c = connect(path)
  const closed = new Promise<void>((done) => c.once('close', () => done()))
  c.on('error', () => {})
  for (let i = 0; i < 80; i++) c.write('x'.repeat(1024))
  await closed
})

test('a socket that a dead program left is replaced, a living one is not', async () => {
  const { path } = await serve(() => ({ who: 'first' }))
  await expect(serveControl(path, () => ({}))).rejects.toThrow(/another program answers there already/)
  expect((await askControl(path, {})).answer).toEqual({ who: 'first' })
  const stale = `${path}.stale`
  writeFileSync(stale, '')
  const server = await serveControl(stale, () => ({ who: 'second' }))
  const asked = await askControl(stale, {})
  expect(asked.answer).toEqual({ who: 'second' })
  await server.close()
  await asked.closed
})

test('something else than our program there is a fault, and nothing stays open', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-control-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'other.sock')
  const left = Promise.withResolvers<void>()
  const other = createServer((c) => {
    c.on('close', () => left.resolve()).on('error', () => {})
    c.resume().write('220 welcome\n')
  })
  await new Promise<void>((done) => other.listen(path, done))
  onTestFinished(() => new Promise<void>((done) => void other.close(() => done())))
  await expect(askControl(path, { ask: 'status' })).rejects.toMatchObject({ name: 'IoFault' })
  await left.promise
})

test('nobody there is a fault with its code', async () => {
  await expect(askControl('/nowhere/x.sock', {})).rejects.toMatchObject({ name: 'IoFault', code: 'ENOENT' })
})

async function serve(answer: ControlAnswer): Promise<{ path: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-control-'))
  const path = join(dir, 'run/x.sock')
  const server = await serveControl(path, answer)
  onTestFinished(async () => {
    await server.close()
    rmSync(dir, { recursive: true })
  })
  return { path }
}

function lines(path: string, text: string, count: number): Promise<unknown[]> {
  return new Promise((done) => {
    const c = connect(path)
    let come = ''
    c.setEncoding('utf8').on('data', (chunk: string) => {
      come += chunk
      const all = come.split('\n').slice(0, -1)
      if (all.length < count) return
      c.destroy()
      done(all.map((line) => JSON.parse(line) as unknown))
    })
    c.write(text)
  })
}
