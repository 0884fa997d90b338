// Takes over one configuration after the other, each with a token of another network, and becomes a member each time, until it is killed.
import { appendFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { BoxMedia, BRIDGE, newRoot, tokenOf } from './box-media.ts'

const [dir = '', from = '0'] = process.argv.slice(2)
const box = new BoxMedia(dir)
process.stdout.write('going\n')
for (let i = Number(from); ; i++) {
  const root = newRoot()
  const token = tokenOf(root, BRIDGE)
  box.write('stick.new', `role = "bridge"\n[network]\ntoken = "${token}"\n[appliance]\nhostname = "h${i}"\n`)
  renameSync(join(dir, 'stick.new'), join(dir, 'stick/ntm.toml'))
  if (box.take() !== 'changed') process.exit(3)
  box.enrol(root, BRIDGE, `b${i}.ntm.example`)
  appendFileSync(join(dir, 'enrolled'), `b${i}.ntm.example\n`)
  process.stdout.write('done\n')
}
