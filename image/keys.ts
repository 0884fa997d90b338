import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImageError } from './fault.ts'
import { withLock } from './lock.ts'
import { run } from './run.ts'

/** What signs updates. Both are PEM files; the certificate goes into every image, and boxes accept only updates signed by its key. */
export type UpdateKey = { readonly key: string; readonly certificate: string; readonly given: boolean }

/** The key named by NTM_UPDATE_KEY and NTM_UPDATE_CERT, otherwise one made once for this clone, below `dir`. */
export async function updateKey(dir: string): Promise<UpdateKey> {
  const [key, certificate] = [process.env['NTM_UPDATE_KEY'], process.env['NTM_UPDATE_CERT']]
  if ((key === undefined) !== (certificate === undefined))
    throw new ImageError('give NTM_UPDATE_KEY and NTM_UPDATE_CERT, or neither')
  if (key !== undefined && certificate !== undefined) {
    await mustMatch(key, certificate)
    return { key, certificate, given: true }
  }
  const own = { key: join(dir, 'update.key'), certificate: join(dir, 'update.pem'), given: false }
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  await withLock(`${dir}.lock`, async () => {
    if (!existsSync(own.certificate)) await make(dir, own)
  })
  return own
}

/**
 * A P-256 key and its self-signed certificate, valid from long ago to far away: a box without a clock would refuse one that begins today.
 * `openssl ca` because `openssl req` of Debian 12 takes no start.
 */
async function make(dir: string, { key, certificate }: UpdateKey): Promise<void> {
  const scratch = join(dir, 'making')
  rmSync(scratch, { recursive: true, force: true })
  mkdirSync(scratch, { mode: 0o700 })
  const config = join(scratch, 'openssl.cnf')
  writeFileSync(config, OPENSSL.replaceAll('@DIR@', scratch))
  for (const file of ['index.txt', 'index.txt.attr']) writeFileSync(join(scratch, file), '')
  await run('openssl', [
    'genpkey',
    '-quiet',
    '-algorithm',
    'EC',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-out',
    key,
  ]).catch(() =>
    // OpenSSL before 3.2 knows no -quiet.
    run('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', key]),
  )
  chmodSync(key, 0o600)
  const request = join(scratch, 'request.pem')
  await run('openssl', [
    'req',
    '-new',
    '-config',
    config,
    '-key',
    key,
    '-subj',
    '/O=NTMobile/CN=appliance updates',
    '-out',
    request,
  ])
  const dates = ['-startdate', '20200101000000Z', '-enddate', '21200101000000Z']
  const to = join(scratch, 'update.pem')
  await run('openssl', [
    'ca',
    '-batch',
    '-notext',
    '-config',
    config,
    '-selfsign',
    '-keyfile',
    key,
    ...dates,
    '-rand_serial',
    '-in',
    request,
    '-out',
    to,
  ])
  await run('mv', [to, certificate])
  rmSync(scratch, { recursive: true })
}

async function mustMatch(key: string, certificate: string): Promise<void> {
  const ofKey = await run('openssl', ['pkey', '-in', key, '-pubout'])
  const ofCertificate = await run('openssl', ['x509', '-in', certificate, '-noout', '-pubkey'])
  if (ofKey.trim() !== ofCertificate.trim()) throw new ImageError('NTM_UPDATE_KEY is not the key of NTM_UPDATE_CERT')
}

const OPENSSL = `[ca]
default_ca = own
[own]
database = @DIR@/index.txt
new_certs_dir = @DIR@
serial = @DIR@/serial
default_md = sha256
policy = any
x509_extensions = signer
[any]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
[signer]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyCertSign
extendedKeyUsage = emailProtection,codeSigning
subjectKeyIdentifier = hash
`
