/** The lines of a list file: without comments (`#` to the end), spaces around, and empty ones. */
export function lines(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
}
