/** The build cannot go on; the message says why and what to do. Shown without a stack. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
}
