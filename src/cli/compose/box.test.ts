import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { makeGrant, makeRoot } from '#ntm-lib/crypto/identity.ts'
import { type EnrolmentToken, formatToken } from '#ntm-lib/crypto/token.ts'
import { decodeSignedCertificate, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { ConfigError } from '../config/fault.ts'
import { keptBox, openBox } from './box.ts'

const NOW = Date.UTC(2026, 0, 1)
const root = makeRoot(nodeCrypto)

function state(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-box-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return dir
}

const token = (grant: EnrolmentToken['grant'] = null, of = root): string =>
  formatToken(nodeCrypto, {
    rootPublicKey: of.public,
    coordinatorStatic: nodeCrypto.x25519Pair().public,
    endpoints: [{ ip: parseIp4('192.0.2.1')!, port: 4330 }],
    id: new Uint8Array(8).fill(1),
    seed: new Uint8Array(32).fill(2),
    roles: ROLE_TT,
    grant,
  })

test('the first start makes a key that every later start finds again', () => {
  const dir = state()
  const settings = { file: 'box.toml', state: dir, network: { token: token() } }
  const first = openBox(settings, NOW)
  const second = openBox(settings, NOW)
  expect(second.identity.static.secret).toEqual(first.identity.static.secret)
  expect(first.enrol?.chain).toEqual([])
  expect(first.rootPublicKey).toEqual(root.public)
})

test('until it is a member, the newest token says which network it is to be; the box stays who it is', () => {
  const dir = state()
  const first = openBox({ file: 'box.toml', state: dir, network: { token: token() } }, NOW)
  const other = makeRoot(nodeCrypto)
  const second = openBox({ file: 'box.toml', state: dir, network: { token: token(null, other) } }, NOW)
  expect(second.rootPublicKey).toEqual(other.public)
  expect(second.identity.static).toEqual(first.identity.static)
  expect(second.resetSecret).toEqual(first.resetSecret)
  // A member stays in its network, whatever token it is given.
  second.saveChain([Uint8Array.of(1, 2)])
  const member = openBox({ file: 'box.toml', state: dir, network: { token: token() } }, NOW)
  expect(member.rootPublicKey).toEqual(other.public)
})

test('what others may know of a box, without a token and without making a key', () => {
  const dir = state()
  expect(keptBox(dir)).toBeNull()
  const box = openBox({ file: 'box.toml', state: dir, network: { token: token() } }, NOW)
  expect(keptBox(dir)).toEqual({
    publicKey: box.identity.static.public,
    node: box.identity.nodeId,
    rootPublicKey: root.public,
    member: null,
  })
})

test('a member needs its token no more', () => {
  const dir = state()
  openBox({ file: 'box.toml', state: dir, network: { token: token() } }, NOW).saveChain([Uint8Array.of(1, 2)])
  const member = openBox({ file: 'box.toml', state: dir, network: {} }, NOW)
  expect(member.enrol).toBeNull()
  expect(member.identity.chain).toEqual([Uint8Array.of(1, 2)])
})

test('with a grant in the token the box signs its own membership, with its own key and the granted name', () => {
  const grant = makeGrant(nodeCrypto, root, {
    roles: ROLE_TT,
    name: 'tt1.ntm.example',
    prefixes: [],
    issued: NOW / 1000 - 60,
    expires: NOW / 1000 + 3600,
  })
  const box = openBox({ file: 'box.toml', state: state(), network: { token: token(grant) } }, NOW)
  const [leaf, signer] = box.enrol?.chain ?? []
  const decoded = decodeSignedCertificate(leaf!)
  if (!decoded.ok) throw new Error(decoded.fault)
  expect(decoded.value.certificate).toMatchObject({
    name: 'tt1.ntm.example',
    roles: ROLE_TT,
    subject: box.identity.static.public,
  })
  expect(signer).toEqual(grant.certificate)
})

test('no token, a damaged one and an unreadable file each say what to do', () => {
  const complaint = (network: { token?: string; token_file?: string }): string => {
    try {
      openBox({ file: 'box.toml', state: state(), network }, NOW)
    } catch (e) {
      if (e instanceof ConfigError) return e.message
      throw e
    }
    return 'no complaint'
  }
  expect(complaint({})).toMatch(/^box\.toml: network\.token: is missing.*ntm token create/)
  const good = token()
  expect(complaint({ token: `${good.slice(0, 40)}${good[40] === 'a' ? 'b' : 'a'}${good.slice(41)}` })).toMatch(
    /wrong or missing character/,
  )
  expect(complaint({ token: 'hello' })).toMatch(/starts with "ntm1-"/)
  expect(complaint({ token_file: '/nowhere/token' })).toMatch(/token_file: \/nowhere\/token cannot be read \(ENOENT\)/)
})

test('a token file is found beside the configuration', () => {
  const dir = state()
  writeFileSync(join(dir, 'token'), `${token()}\n`)
  const box = openBox({ file: join(dir, 'box.toml'), state: join(dir, 'state'), network: { token_file: 'token' } }, NOW)
  expect(box.enrol).not.toBeNull()
  expect(readFileSync(join(dir, 'state/box.json'), 'utf8')).toContain('"version": 1')
})
