import { tellHost } from './demo-host.ts'
import { tellLaptop } from './demo-laptop.ts'
import { whyNoLab } from './netns.ts'
import { Story } from './story.ts'

/**
 * `make demo`: an IPv4-only host that nobody touches reaches an IPv6-only server by its name; then a laptop downloads from an old device
 * behind a bridge while it changes networks. Exit code 0 only if every step of both held.
 */
const why = whyNoLab()
if (why !== null) {
  process.stderr.write(`demo: ${why}\n`)
  process.exit(1)
}

const story = new Story()
const finished = await story.tell(async () => {
  await tellHost(story)
  await tellLaptop(story)
})
process.exitCode = story.end() && finished ? 0 : 1
