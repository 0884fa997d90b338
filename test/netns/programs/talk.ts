// `serve PORT HTTP-PORT NAME`: echoes lines over TCP and serves one page, both families. `talk NAME PORT FAMILY LINES`: says lines one by one,
// each after the answer to the one before, as a person at a remote shell; the name goes through libc.
import { createServer as createHttp } from 'node:http'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

const [verb, ...args] = process.argv.slice(2)
if (verb === 'serve') {
  const [port, http, name] = args
  createServer((c) => {
    c.on('error', () => {})
    c.pipe(c)
  }).listen(Number(port), '::', () => {
    createHttp((_, res) => res.end(`This is the page of ${name}.\n`)).listen(Number(http), '::', () =>
      process.stdout.write('ready\n'),
    )
  })
} else {
  const [name = '', port, family, lines] = args
  const c = connect({ host: name, port: Number(port), family: Number(family) })
  let said = 0
  let same = true
  const say = (): boolean => c.write(`line ${said} ${'x'.repeat(said % 50)}\n`)
  c.setNoDelay(true).on('connect', say)
  createInterface({ input: c }).on('line', (line) => {
    same &&= line === `line ${said} ${'x'.repeat(said % 50)}`
    said++
    if (said < Number(lines)) return void say()
    process.stdout.write(`${JSON.stringify({ lines: said, same })}\n`)
    c.end()
  })
}
