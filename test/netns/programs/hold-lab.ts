import { Lab } from '#lab/netns.ts'

/** Opens a lab with a program, a cable, files and NAT in it, says its tag, and stays until somebody ends this process. */
const lab = new Lab()
lab.room('one')
lab.room('two')
lab.cable(['one', 'eth0'], ['two', 'eth0'])
lab.etc('one', 'resolv.conf', 'nameserver 192.0.2.1\n')
lab.nft('two', 'table ip x { chain y { type filter hook input priority 0; }; }\n')
lab.file('note', 'text')
// One that ends when asked, and one that does not listen.
lab.spawn('one', 'polite', 'sleep', ['1000'])
lab.spawn('two', 'deaf', 'sh', ['-c', 'trap "" TERM; while :; do sleep 0.2; done'])
process.stdout.write(`open ${lab.tag}\n`)
setInterval(() => {}, 1000)
