/** What small files of the appliance say, `key=value` a line: `/run/ntm-box/NAME`, `/data/update/pending`. */
export type Facts = Readonly<Record<string, string>>

/** Total: lines without `=` and keys that are no words are passed over; the last of two counts; values keep everything behind the first `=`. */
export function parseFacts(text: string): Facts {
  const facts: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const found = /^([a-z][a-z0-9_]*)=(.*?)\r?$/.exec(line)
    if (found?.[1] !== undefined) facts[found[1]] = found[2] ?? ''
  }
  return facts
}

/** The text of these facts. A value is one line: ends of lines become spaces. */
export const factsText = (facts: Facts): string =>
  Object.entries(facts)
    .map(([key, value]) => `${key}=${value.replace(/[\r\n]+/g, ' ').trim()}\n`)
    .join('')
