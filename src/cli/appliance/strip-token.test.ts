import { parse } from 'smol-toml'
import { expect, test } from 'vitest'
import { withoutToken } from './strip-token.ts'

test('the line becomes a comment, and nothing else changes', () => {
  const text =
    '# mine\r\nrole = "bridge"\r\n[network] # net\r\ntoken = "ntm1-abc" # once\r\n\r\n[udp]\r\nport = 4331\r\n'
  expect(withoutToken(text)).toBe(
    '# mine\r\nrole = "bridge"\r\n[network] # net\r\n# token: taken into the box and removed from here\r\n\r\n[udp]\r\nport = 4331\r\n',
  )
  const dotted = 'role = "bridge"\nnetwork.token = \'x\'\n'
  expect(withoutToken(dotted)).toBe('role = "bridge"\n# token: taken into the box and removed from here\n')
})

test('a file without a token stays as it is', () => {
  const text = 'role = "bridge"\n[network]\n# token = "x"\ntoken_file = "t"\n'
  expect(withoutToken(text)).toBe(text)
})

test.each([
  'role = "bridge"\nnetwork = { token = "ntm1-secret", token_file = "t" }\n',
  'role = "bridge"\n[network]\ntoken = """\nntm1-secret\n"""\n[udp]\nport = 1\n',
  'role = "bridge"\n["network"]\n"token" = "ntm1-secret"\n',
  'x = [\n"a",\n]\n[network]\ntoken = "ntm1-secret"\n',
  '[network]\n  token\t=\t"ntm1-secret"',
])('however it is written, the secret goes and the rest keeps its meaning: %j', (text) => {
  const left = withoutToken(text)
  expect(left).not.toContain('ntm1-secret')
  const { network, ...rest } = parse(text) as { network: Record<string, unknown> }
  const after = parse(left) as { network?: Record<string, unknown> }
  expect({ ...after, network: after.network ?? {} }).toEqual({
    ...rest,
    network: Object.fromEntries(Object.entries(network).filter(([key]) => key !== 'token')),
  })
})
