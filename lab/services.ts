import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { bigFile } from './content.ts'
import { LabError } from './ip.ts'
import { type Lab, ROOT } from './netns.ts'
import type { Program } from './process.ts'

/** A zone whose own name server the lab's resolver asks. */
export type Delegation = { readonly origin: string; readonly at: string }

/** One DNS zone the lab's resolver knows, as zone-file lines without SOA and NS, names relative to `origin`. */
export type Zone = { readonly origin: string; readonly records: readonly string[] }

/**
 * A recursive resolver (unbound) that finds the given zones, and an empty root: names elsewhere do not exist. It answers
 * as a resolver does (RA set, TTLs counting down, negative answers cached), because the zones serve its own iterator.
 */
export async function resolver(
  lab: Lab,
  room: string,
  zones: readonly Zone[],
  delegations: readonly Delegation[] = [],
): Promise<Program> {
  const all = [...zones.map(zoneFile), { origin: '.', text: ROOT_ZONE }]
  const blocks = all.map(({ origin, text }) => {
    const file = lab.file(`${room}-zone-${origin === '.' ? 'root' : origin}`, text)
    return `auth-zone:\n  name: "${origin}"\n  zonefile: "${file}"\n  for-downstream: no\n  for-upstream: yes\n  fallback-enabled: no`
  })
  const stubs = delegations.map(({ origin, at }) => `stub-zone:\n  name: "${origin}"\n  stub-addr: ${at}`)
  const names = [...zones, ...delegations].map((zone) => `  local-zone: "${zone.origin}" transparent`)
  const config = lab.file(
    `${room}-unbound.conf`,
    `server:
  interface: 0.0.0.0
  interface: ::0
  interface-automatic: yes
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  module-config: "iterator"
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "${lab.dir}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  log-queries: yes
  num-threads: 1
  hide-identity: yes
${names.join('\n')}
remote-control:
  control-enable: no
${blocks.join('\n')}
${stubs.join('\n')}
`,
  )
  // A copy, because AppArmor (where it is on) ties /usr/sbin/unbound to files below /etc/unbound.
  const program = join(lab.dir, 'unbound')
  copyFileSync(where('unbound'), program)
  const running = lab.spawn(room, `${room}-unbound`, program, ['-d', '-p', '-c', config])
  await running.line(/start of service/)
  return running
}

export type LanPlan = {
  readonly link: string
  /** The router's own address on the LAN. */
  readonly address: string
  readonly from: string
  readonly to: string
  readonly upstream: string
  /** An IPv6 prefix of 64 bits (`fd00::`), advertised to hosts that make their own addresses; the link must have one of it. */
  readonly advertise?: string
}

/** DHCP server and DNS forwarder of a home router (dnsmasq). `<dir>/<room>-leases` tells who has which address. */
export async function lanServices(lab: Lab, room: string, plan: LanPlan): Promise<Program> {
  const running = lab.spawn(room, `${room}-dnsmasq`, where('dnsmasq'), [
    '--keep-in-foreground',
    '--log-facility=-',
    '--log-queries',
    '--conf-file=/dev/null',
    '--user=root',
    '--pid-file=',
    `--interface=${plan.link}`,
    '--bind-interfaces',
    '--no-hosts',
    '--no-resolv',
    `--server=${plan.upstream}`,
    '--dhcp-authoritative',
    '--no-ping',
    `--dhcp-range=${plan.from},${plan.to},255.255.255.0,1h`,
    `--dhcp-option=option:router,${plan.address}`,
    `--dhcp-option=option:dns-server,${plan.address}`,
    `--dhcp-leasefile=${lab.dir}/${room}-leases`,
    ...(plan.advertise === undefined ? [] : ['--enable-ra', `--dhcp-range=${plan.advertise},ra-only`]),
  ])
  await running.line(/started, version/)
  return running
}

/**
 * Starts a DHCP client on `link` and waits for its lease; the room's /etc/resolv.conf becomes what DHCP said. Without a lease within `limitMs` it
 * rejects, and the client is gone: a second one would take the first one's address off the link.
 */
export async function dhcpClient(lab: Lab, room: string, link: string, limitMs?: number): Promise<Program> {
  lab.etc(room, 'resolv.conf', '')
  const script = join(ROOT, 'lab/udhcpc.sh')
  const running = lab.spawn(
    room,
    `${room}-udhcpc`,
    where('busybox'),
    ['udhcpc', '-f', '-i', link, '-s', script, '-t', '30', '-T', '1', '-x', `hostname:${room}`],
    { env: { ...process.env, LAB_RESOLV_CONF: join('/etc/netns', lab.netns(room), 'resolv.conf') } },
  )
  try {
    await running.line(/^lease /, limitMs)
  } catch (fault) {
    await running.stop()
    throw fault
  }
  return running
}

/** A certificate authority of the lab's own, made anew in every lab. `ca` is the path of its certificate. */
export type Authority = { readonly ca: string; issue(names: readonly string[]): { cert: string; key: string } }

export function authority(lab: Lab): Authority {
  const ca = join(lab.dir, 'ca.pem')
  const caKey = join(lab.dir, 'ca.key')
  openssl(['req', '-x509', ...KEY, '-keyout', caKey, '-out', ca, '-days', '2', '-subj', '/CN=lab authority'])
  return {
    ca,
    issue: (names) => {
      const base = join(lab.dir, `tls-${names[0]}`)
      const subject = [
        '-subj',
        `/CN=${names[0]}`,
        '-addext',
        `subjectAltName=${names.map((n) => `DNS:${n}`).join(',')}`,
      ]
      const signer = ['-CA', ca, '-CAkey', caKey, '-addext', 'basicConstraints=critical,CA:FALSE']
      openssl([
        'req',
        '-x509',
        ...KEY,
        '-keyout',
        `${base}.key`,
        '-out',
        `${base}.pem`,
        '-days',
        '2',
        ...subject,
        ...signer,
      ])
      return { cert: `${base}.pem`, key: `${base}.key` }
    },
  }
}

export type WebPlan = {
  /** Name it is known by; part of its page. */
  readonly name: string
  /** Addresses it listens on, IPv6 ones in brackets. */
  readonly listen: readonly string[]
  readonly tls: { readonly cert: string; readonly key: string }
}

/** The text of a web server's page; nobody else in the lab says it. */
export const pageOf = (name: string): string => `This is the page of ${name}.\n`

/**
 * A web server (nginx), ports 80 and 443: `/` the page, `/ip` the client's address as the server sees it, `/100m.bin` the
 * big file, PUT below `/upload/` lands in `uploads`.
 */
export async function webServer(lab: Lab, room: string, plan: WebPlan): Promise<{ uploads: string; log: string }> {
  const home = join(lab.dir, `${room}-web`)
  mkdirSync(join(home, 'upload'), { recursive: true })
  mkdirSync(join(home, 'tmp'), { recursive: true })
  lab.file(`${room}-web/index.html`, pageOf(plan.name))
  const only = (a: string): string => (a.startsWith('[') ? ' ipv6only=on' : '')
  const listen = plan.listen.flatMap((a) => [`listen ${a}:80${only(a)};`, `listen ${a}:443 ssl${only(a)};`])
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${home}/tmp;`)
  const config = lab.file(
    `${room}-nginx.conf`,
    `daemon off; user root; worker_processes 1; pid ${home}/pid; error_log stderr notice;
events { worker_connections 256; }
http {
  access_log ${home}/access.log; default_type text/plain; sendfile on; keepalive_timeout 5s;
  ${temps.join(' ')}
  server {
    ${listen.join(' ')}
    ssl_certificate ${plan.tls.cert}; ssl_certificate_key ${plan.tls.key};
    root ${home}; client_max_body_size 200m;
    location = /ip { return 200 "$remote_addr\\n"; }
    location = /100m.bin { alias ${bigFile()}; }
    location /upload/ { dav_methods PUT; }
  }
}
`,
  )
  const running = lab.spawn(room, `${room}-nginx`, where('nginx'), ['-c', config, '-p', home, '-e', 'stderr'])
  await running.line(/start worker process /)
  return { uploads: join(home, 'upload'), log: join(home, 'access.log') }
}

/** A UDP server that sends every datagram back. */
export async function udpEcho(lab: Lab, room: string, address: string, port: number): Promise<Program> {
  const running = lab.spawn(room, `${room}-udp-echo`, process.execPath, [
    join(ROOT, 'lab/udp.ts'),
    'echo',
    address,
    `${port}`,
  ])
  await running.line(/udp\.ready/)
  return running
}

/** A throughput server (iperf3) on its usual port 5201. */
export async function iperf(lab: Lab, room: string): Promise<Program> {
  const running = lab.spawn(room, `${room}-iperf3`, where('iperf3'), ['-s', '--forceflush'])
  await running.line(/listening/i)
  return running
}

/** Full path of a system program; throws LabError with what to do when it is missing. */
export function where(program: string): string {
  const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`], { encoding: 'utf8' })
  if (found.status !== 0) throw new LabError(`${program} is not installed: run 'sudo make setup'`)
  return found.stdout.trim()
}

function zoneFile(zone: Zone): { origin: string; text: string } {
  const start = `$ORIGIN ${zone.origin}.\n$TTL 60\n@ SOA ns.${zone.origin}. hostmaster.${zone.origin}. 1 3600 600 86400 60\n@ NS ns.${zone.origin}.\n`
  return { origin: zone.origin, text: `${start}${zone.records.join('\n')}\n` }
}

function openssl(args: readonly string[]): void {
  const done = spawnSync('openssl', args, { encoding: 'utf8' })
  if (done.status !== 0) throw new LabError(`openssl ${args.join(' ')}: ${done.stderr}`)
}

const ROOT_ZONE =
  '$ORIGIN .\n$TTL 60\n@ SOA ns.lab. hostmaster.lab. 1 3600 600 86400 60\n@ NS ns.lab.\nns.lab. A 192.0.2.1\n'
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const
