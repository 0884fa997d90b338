import { datagramRuns, openUdpRuns } from '#io/udp-runs.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { ip6FromBytes, unmapped } from '#ntm-lib/addr/ip6.ts'

/** `source-echo.ts PORT`: answers every datagram with the address that it came from. */
const udp = openUdpRuns({ port: Number(process.argv[2]) })
const into = datagramRuns(16)
udp.onReadable(() => {
  while (udp.recv(into) > 0) {
    for (let i = 0; i < into.count; i++) {
      const ip = ip6FromBytes(into.addrs, 16 * i)
      const from = { ip: unmapped(ip) ?? ip, port: into.ports[i] ?? 0 }
      for (let at = 0; at < (into.lens[i] ?? 0); at += into.segs[i] ?? 1)
        udp.sendOne(from, Buffer.from(ipText(from.ip)))
    }
  }
})
process.stdout.write('echo.ready\n')
