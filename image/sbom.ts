import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { productionPackages } from './app.ts'
import type { Build, DebianPackage } from './build.ts'
import { REPOSITORY } from './layout.ts'

/** One thing in the image, as the bill of materials lists it. `licences`: names as its maker gives them, all of them. */
export type Item = {
  readonly name: string
  readonly version: string
  readonly supplier: string
  readonly licences: readonly string[]
  /** The package URL, by which vulnerability scanners know it. */
  readonly purl: string
  readonly sha512?: string
  readonly comment?: string
}

/** Everything in the image: the product, its npm packages, Node, and what came from `packages`, a distribution's. */
export function itemsOf(
  { board, version }: Pick<Build, 'board' | 'version'>,
  packages: readonly DebianPackage[],
): readonly Item[] {
  const product = {
    name: 'ntm',
    version: version.text,
    supplier: 'NTMobile',
    licences: ['Apache-2.0'],
    purl: `pkg:generic/ntm@${encodeURIComponent(version.text)}`,
    comment: `commit ${version.commit}`,
  }
  return [
    product,
    ...npmItems([...productionPackages(REPOSITORY), `node_modules/${board.node}`]),
    ...packages.map((one) => debianItem(one, board.debian)),
  ]
}

function debianItem({ name, version, source, sourceVersion, licences, use, by }: DebianPackage, arch: string): Item {
  if (by !== undefined) {
    const purl = `pkg:generic/${encodeURIComponent(name)}@${encodeURIComponent(version)}`
    return { name, version, supplier: by, licences, purl }
  }
  const from = `source package ${source} ${sourceVersion}`
  const comment = use === 'root' ? from : `${from}; parts of it (kernel, boot loader, firmware)`
  const upstream = encodeURIComponent(`${source}@${sourceVersion}`)
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${arch}&upstream=${upstream}`
  return { name, version, supplier: 'Debian', licences, purl, comment }
}

function npmItems(paths: readonly string[]): readonly Item[] {
  type Locked = { readonly version: string; readonly license?: string; readonly integrity?: string }
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Locked>>
  }
  return paths.map((path) => {
    const { version = '', license, integrity } = lock.packages[path] ?? {}
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const hash = integrity?.startsWith('sha512-')
      ? Buffer.from(integrity.slice(7), 'base64').toString('hex')
      : undefined
    return {
      name,
      version,
      supplier: 'npm',
      licences: license === undefined ? [] : [license],
      purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      ...(hash === undefined ? {} : { sha512: hash }),
      ...(name.startsWith('node-linux-') ? { comment: 'Node.js, the official binary' } : {}),
    }
  })
}

/** The bill of materials as an SPDX 2.3 document. The same items give the same bytes. */
export function spdx({ board, version }: Pick<Build, 'board' | 'version'>, items: readonly Item[]): string {
  const own = new Map<string, string>()
  const image = `ntm-${board.name}`
  const packages = items.map((item, i) => ({
    SPDXID: `SPDXRef-Package-${i + 1}`,
    name: item.name,
    versionInfo: item.version,
    supplier: `Organization: ${item.supplier}`,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: expression(item.licences, own),
    copyrightText: 'NOASSERTION',
    ...(item.sha512 === undefined ? {} : { checksums: [{ algorithm: 'SHA512', checksumValue: item.sha512 }] }),
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: item.purl }],
    ...(item.comment === undefined ? {} : { comment: item.comment }),
  }))
  const whole = {
    SPDXID: 'SPDXRef-Image',
    name: image,
    versionInfo: version.text,
    supplier: 'Organization: NTMobile',
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: 'NOASSERTION',
    copyrightText: 'NOASSERTION',
    primaryPackagePurpose: 'OPERATING-SYSTEM',
  }
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${image} ${version.text}`,
    documentNamespace: `urn:ntm:image:${board.name}:${encodeURIComponent(version.text)}`,
    creationInfo: {
      created: new Date(version.epoch * 1000).toISOString().replace('.000Z', 'Z'),
      creators: ['Tool: ntm-image'],
    },
    packages: [whole, ...packages],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: whole.SPDXID },
      ...packages.map(({ SPDXID }) => ({
        spdxElementId: whole.SPDXID,
        relationshipType: 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
    hasExtractedLicensingInfos: [...own].map(([licenseId, name]) => ({
      licenseId,
      name,
      extractedText: `Called "${name}" in the package's own copyright file, which has its text: /usr/share/doc/PACKAGE/copyright in the image.`,
    })),
  }
  return `${JSON.stringify(document, null, 1)}\n`
}

/** All of the names, as an SPDX expression; a name that SPDX does not know gets a reference of its own, noted in `own`. */
function expression(licences: readonly string[], own: Map<string, string>): string {
  const all = [...new Set(licences.map((name) => choice(name, own)))]
  if (all.length === 0) return 'NOASSERTION'
  return all.map((one) => (all.length > 1 && one.includes(' OR ') ? `(${one})` : one)).join(' AND ')
}

/** `GPL-2+ or AFL-2.1` is a choice, `A and B` both; with commas it may mean either, and stays a name. */
function choice(name: string, own: Map<string, string>): string {
  if (/[,()]/.test(name)) return /^\((\S+ OR )+\S+\)$/.test(name) ? name.slice(1, -1) : single(name, own)
  const ways = name.split(/ or /i).map((way) => way.split(/ and /i).map((one) => single(one, own)))
  return ways
    .map((way) => (ways.length > 1 && way.length > 1 ? `(${way.join(' AND ')})` : way.join(' AND ')))
    .join(' OR ')
}

function single(name: string, own: Map<string, string>): string {
  const id = SPDX_NAMES.get(name.toLowerCase())
  if (id !== undefined) return id
  const reference = `LicenseRef-${name.replaceAll(/[^A-Za-z0-9.]+/g, '-').replace(/^-|-$/g, '')}`
  own.set(reference, name)
  return reference
}

/** Debian's and npm's short names that mean a licence of SPDX's list. */
const SPDX_NAMES: ReadonlyMap<string, string> = new Map(
  [
    ...[
      'Apache-2.0',
      'MIT',
      'ISC',
      '0BSD',
      'BSD-2-Clause',
      'BSD-3-Clause',
      'BSD-4-Clause',
      'BSL-1.0',
      'CC0-1.0',
      'MPL-2.0',
      'Zlib',
      'curl',
      'OpenSSL',
    ],
    ...['Artistic-2.0', 'AFL-2.1', 'Unlicense', 'X11', 'PSF-2.0', 'BlueOak-1.0.0', 'Python-2.0'],
  ]
    .map((id) => [id.toLowerCase(), id] as const)
    .concat(
      ['GPL-1', 'GPL-2', 'GPL-3', 'LGPL-2', 'LGPL-2.1', 'LGPL-3', 'GFDL-1.3'].flatMap((name) => {
        const id = /\.\d/.test(name) ? name : `${name}.0`
        return [
          [name.toLowerCase(), `${id}-only`],
          [`${name.toLowerCase()}+`, `${id}-or-later`],
        ] as const
      }),
    )
    .concat([
      ['apache-2', 'Apache-2.0'],
      ['cc0', 'CC0-1.0'],
      ['expat', 'MIT'],
      ['bsd-3-clauses', 'BSD-3-Clause'],
      ['gpl-2.0+', 'GPL-2.0-or-later'],
      ['gpl-2.0', 'GPL-2.0-only'],
    ]),
)
