import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Download, download } from './download.ts'

test('a file comes whole, and nothing half done stays', async () => {
  const site = await serve((_, answer) => answer.end(BODY))
  const file = await download(site.url, site.to())
  expect(readFileSync(file).equals(BODY)).toBe(true)
  expect(() => statSync(join(site.dir, 'bundle.part'))).toThrow()
})

test('what a cut connection left is gone on with', async () => {
  const asked: (string | undefined)[] = []
  const site = await serve((request, answer) => {
    asked.push(request.headers.range)
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const head = { etag: '"one"', 'content-length': `${BODY.length - from}` }
    if (from > 0) expect(request.headers['if-range']).toBe('"one"')
    answer.writeHead(
      from > 0 ? 206 : 200,
      from > 0 ? { ...head, 'content-range': `bytes ${from}-${BODY.length - 1}/${BODY.length}` } : head,
    )
    // Each connection is cut after 40,000 bytes; the third brings the rest.
    answer.write(BODY.subarray(from, from + 40_000))
    setTimeout(() => (from + 40_000 < BODY.length ? answer.destroy() : answer.end()), 50)
  })
  const file = await download(site.url, site.to())
  expect(readFileSync(file).equals(BODY)).toBe(true)
  expect(asked.length).toBeGreaterThan(2)
  expect(asked[0]).toBeUndefined()
  expect(Number(asked.at(-1)?.slice(6, -1))).toBeGreaterThan(0)
})

test('another file of that name is not patched together with the old one', async () => {
  const site = await serve((request, answer) => {
    expect(request.headers['if-range']).toBe('"old"')
    // If-Range does not hold: the server sends the whole new file.
    answer.writeHead(200, { etag: '"new"', 'content-length': `${BODY.length}` }).end(BODY)
  })
  writeFileSync(join(site.dir, 'bundle.part'), Buffer.alloc(BODY.length * 2, 1))
  writeFileSync(join(site.dir, 'bundle.from'), `${site.url.href}\n"old"\n`)
  expect(readFileSync(await download(site.url, site.to())).equals(BODY)).toBe(true)
})

test('what was begun from elsewhere does not count', async () => {
  const site = await serve((request, answer) => {
    expect(request.headers.range).toBeUndefined()
    answer.end(BODY)
  })
  writeFileSync(join(site.dir, 'bundle.part'), 'x')
  writeFileSync(join(site.dir, 'bundle.from'), 'http://192.0.2.1/other\n"old"\n')
  expect(readFileSync(await download(site.url, site.to())).equals(BODY)).toBe(true)
})

test('a range that the server has not is begun anew', async () => {
  const site = await serve((request, answer) => {
    if (request.headers.range !== undefined) return void answer.writeHead(416).end()
    answer.end(BODY)
  })
  writeFileSync(join(site.dir, 'bundle.part'), Buffer.alloc(BODY.length + 1))
  writeFileSync(join(site.dir, 'bundle.from'), `${site.url.href}\n"one"\n`)
  expect(readFileSync(await download(site.url, site.to())).equals(BODY)).toBe(true)
})

test('it goes where the server sends it, not for ever', async () => {
  const site = await serve((request, answer) => {
    if (request.url === '/a.raucb') return void answer.writeHead(302, { location: '/b' }).end()
    if (request.url === '/b') return void answer.end(BODY)
    answer.writeHead(307, { location: request.url }).end()
  })
  expect(readFileSync(await download(site.url, site.to())).equals(BODY)).toBe(true)
  await expect(download(new URL('/round', site.url), site.to())).rejects.toThrow(/sends us on to \/round/)
})

// What Python's http.server does: no keep-alive, the connection closed right behind the last byte, while the disk is still busy.
test('a server that closes behind the last byte, and a slow disk', async () => {
  const site = await serve((_, answer) => {
    answer.socket?.setNoDelay(true)
    answer.writeHead(200, { connection: 'close', 'content-length': `${LONG.length}` }).end(LONG)
  })
  const onProgress = (): void =>
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20) as unknown as undefined
  expect(readFileSync(await download(site.url, site.to({ onProgress }))).equals(LONG)).toBe(true)
})

test('a no is said once, and with its number', async () => {
  let times = 0
  const site = await serve((_, answer) => {
    times += 1
    answer.writeHead(404).end()
  })
  await expect(download(site.url, site.to())).rejects.toThrow(/the server says 404 Not Found/)
  expect(times).toBe(1)
})

test('too large, and more than there is room for: refused before it is written', async () => {
  const site = await serve((_, answer) => answer.writeHead(200, { 'content-length': `${BODY.length}` }).end(BODY))
  await expect(download(site.url, site.to({ mostBytes: 1000 }))).rejects.toThrow(/more than a bundle may have/)
  const full = { free: async () => BODY.length }
  await expect(download(site.url, site.to(full))).rejects.toThrow(/MiB are free on the data partition/)
  expect(() => statSync(join(site.dir, 'bundle.part'))).toThrow()
})

test('a body without an end is cut off at the limit', async () => {
  const site = await serve((_, answer) => {
    const more = (): void => void (answer.destroyed || answer.write(Buffer.alloc(65_536), () => setImmediate(more)))
    more()
  })
  await expect(download(site.url, site.to({ mostBytes: 1 << 20 }))).rejects.toThrow(/more than a bundle may have/)
})

test('a connection that stands still is given up', async () => {
  const site = await serve((_, answer) => {
    answer.writeHead(200, { 'content-length': `${BODY.length}` })
    answer.write(BODY.subarray(0, 1000))
  })
  await expect(download(site.url, site.to({ stillMs: 100, attempts: 2 }))).rejects.toThrow(/nothing came for a while/)
})

const BODY = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 255))

const LONG = Buffer.alloc(4 << 20, BODY)

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const dir = mkdtempSync(join(tmpdir(), 'ntm-download-'))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
    rmSync(dir, { recursive: true })
  })
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/a.raucb`)
  const to = (more: Partial<Download> = {}): Download => ({ dir, waitMs: 1, ...more })
  return { url, dir, to }
}
