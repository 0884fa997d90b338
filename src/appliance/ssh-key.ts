/**
 * Whether a line is one OpenSSH public key: a type, base64 whose first field repeats that type (RFC 4253 §6.6), perhaps a comment. No
 * options in front: they would decide what may be run.
 */
export function isOpenSshKey(line: string): boolean {
  const found = /^([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]+={0,2})(?: [^\r\n]*)?$/.exec(line.trim())
  if (found === null) return false
  const [, type = '', body = ''] = found
  if (!TYPES.has(type) || body.length % 4 !== 0 || body.length > MOST_LETTERS) return false
  const bytes = base64(body)
  const said = String.fromCharCode(...bytes.subarray(4, 4 + type.length))
  return bytes.length > 4 + type.length + 16 && bytes[3] === type.length && said === type
}

function base64(text: string): Uint8Array {
  const letters = text.replace(/=+$/, '')
  const out = new Uint8Array(Math.floor((letters.length * 3) / 4))
  let [held, bits, at] = [0, 0, 0]
  for (const letter of letters) {
    held = ((held << 6) | ALPHABET.indexOf(letter)) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    out[at++] = held >>> bits
  }
  return out
}

/** Those that a current server takes. */
const TYPES: ReadonlySet<string> = new Set([
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  'ssh-rsa',
])
const MOST_LETTERS = 8192
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
