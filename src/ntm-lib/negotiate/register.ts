import { after, type Instant, type Millis, millis, seconds } from '../base/time.ts'
import type { Request, Response } from '../wire/message.ts'
import { type Candidate, type HostClaim, MAX_HOSTS } from '../wire/messages/common.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import type { Registration, RegistrationResponse } from '../wire/messages/registration.ts'
import type { RelayReading } from '../wire/messages/relay.ts'

/** What a node says about itself; the variable part of its registration. */
export type Presence = {
  readonly name: string
  readonly candidates: readonly Candidate[]
  readonly hosts: readonly HostClaim[]
  readonly mtuBytes: number
}

export type Registering =
  | { readonly at: 'down' }
  /** `changed`: what was told is out of date already, so an update follows as soon as this is done. */
  | { readonly at: 'registering'; readonly changed: boolean }
  | { readonly at: 'confirming'; readonly answer: RegistrationResponse; readonly changed: boolean }
  | { readonly at: 'registered'; readonly answer: RegistrationResponse; readonly updateAt: Instant }
  | { readonly at: 'refused'; readonly code: RefusalCode; readonly retryAt: Instant }

export type RegisterInput =
  | { readonly in: 'session' }
  | { readonly in: 'session-lost' }
  | { readonly in: 'response'; readonly tag: string; readonly message: Response }
  | { readonly in: 'silent'; readonly tag: string }
  /** Candidates or hosts changed. */
  | { readonly in: 'changed' }
  | { readonly in: 'clock' }

export type RegisterOutput =
  | { readonly out: 'ask'; readonly tag: string; readonly message: Request }
  | { readonly out: 'registered'; readonly answer: RegistrationResponse; readonly first: boolean }
  | { readonly out: 'refused'; readonly code: RefusalCode; readonly text: string }
  /** The coordinator no longer answers in this session: say hello again. */
  | { readonly out: 'session-dead' }

export type RegisterStep = { readonly state: Registering; readonly out: readonly RegisterOutput[] }

/** Fixed for one start of the program. */
export type RegisterSelf = {
  readonly bootId: Uint8Array
  readonly presence: () => Presence
  readonly version: () => number
  /** How busy a relay or terminator is, 0–100; nothing of all others. */
  readonly loadPercent?: () => number
  /** What was measured of the relays offered; `Node` puts it in. */
  readonly relays?: () => readonly RelayReading[]
}

export const registerDown: Registering = { at: 'down' }

export function registerDeadline(state: Registering): Instant | null {
  return state.at === 'registered' ? state.updateAt : state.at === 'refused' ? state.retryAt : null
}

/**
 * Keeps one node registered: Registration, then the echo that makes a mapped address count, then an NTM Update as keep-alive
 * and at once when something changed. SEED 003 §3.2, SEED 002 §3; the echo is ours (`docs/security.md`).
 */
export function registerStep(state: Registering, input: RegisterInput, self: RegisterSelf, now: Instant): RegisterStep {
  switch (input.in) {
    case 'session':
      return { state: REGISTERING, out: [ask('registration', self)] }
    case 'session-lost':
      return { state: registerDown, out: [] }
    case 'response':
      return onResponse(state, input.tag, input.message, self, now)
    case 'silent':
      return onSilent(state, input.tag)
    case 'changed':
      if (state.at === 'registered') return update(state, self, now)
      return stay(state.at === 'registering' || state.at === 'confirming' ? { ...state, changed: true } : state)
    case 'clock':
      return onClock(state, self, now)
    default:
      return input satisfies never
  }
}

function onResponse(
  state: Registering,
  tag: string,
  message: Response,
  self: RegisterSelf,
  now: Instant,
): RegisterStep {
  if (!isOurs(tag)) return stay(state)
  if (message.kind === 'refusal' && tag === CONFIRM && message.code === 'bad-address') {
    // The NAT moved us between nonce and echo, or somebody's copy was faster: not an operator's matter, try again soon.
    const soon = after(now, RETRY_ECHO)
    if (state.at === 'registered') return stay({ ...state, updateAt: soon })
    return stay(state.at === 'confirming' ? { at: 'refused', code: message.code, retryAt: soon } : state)
  }
  if (message.kind === 'refusal') {
    const wait: Millis = message.retryAfterMillis > 0 ? millis(message.retryAfterMillis) : RETRY_REFUSED
    const refused: Registering = { at: 'refused', code: message.code, retryAt: after(now, wait) }
    return { state: refused, out: [{ out: 'refused', code: message.code, text: message.text }] }
  }
  switch (message.kind) {
    case 'registration-response':
    case 'ntm-update-response': {
      const echo: RegisterOutput = {
        out: 'ask',
        tag: CONFIRM,
        message: { kind: 'location-confirm', echoNonce: message.echoNonce },
      }
      // An update repeats the echo: the NAT may have given us another port since.
      return {
        state:
          state.at === 'registering'
            ? { at: 'confirming', answer: message, changed: state.changed }
            : { at: 'registered', answer: message, updateAt: after(now, seconds(message.keepAliveSeconds)) },
        out: state.at === 'registering' ? [echo] : [echo, { out: 'registered', answer: message, first: false }],
      }
    }
    case 'location-confirm-response': {
      if (state.at !== 'confirming') return stay(state)
      const { answer, changed } = state
      const updateAt = after(now, seconds(answer.keepAliveSeconds))
      const registered: Registering = { at: 'registered', answer, updateAt }
      const told: RegisterOutput = { out: 'registered', answer, first: true }
      if (!changed) return { state: registered, out: [told] }
      const more = update(registered, self, now)
      return { state: more.state, out: [told, ...more.out] }
    }
    default:
      return stay(state)
  }
}

function onSilent(state: Registering, tag: string): RegisterStep {
  if (!isOurs(tag) || state.at === 'down') return stay(state)
  return { state: registerDown, out: [{ out: 'session-dead' }] }
}

function onClock(state: Registering, self: RegisterSelf, now: Instant): RegisterStep {
  const due = registerDeadline(state)
  if (due === null || now < due) return stay(state)
  if (state.at === 'refused') return { state: REGISTERING, out: [ask('registration', self)] }
  return state.at === 'registered' ? update(state, self, now) : stay(state)
}

function update(state: Extract<Registering, { at: 'registered' }>, self: RegisterSelf, now: Instant): RegisterStep {
  const updateAt = after(now, seconds(state.answer.keepAliveSeconds))
  return { state: { ...state, updateAt }, out: [ask('ntm-update', self)] }
}

function ask(kind: Registration['kind'], self: RegisterSelf): RegisterOutput {
  const { name, candidates, hosts, mtuBytes } = self.presence()
  const message: Registration = {
    kind,
    name,
    bootId: self.bootId,
    locationVersion: self.version(),
    versionMin: 1,
    versionMax: 1,
    features: 0,
    mtuBytes,
    candidates,
    // More hosts than a registration carries get no virtual pair; they stay ordinary hosts on the wire.
    hosts: hosts.slice(0, MAX_HOSTS),
    revocationVersion: 0,
    loadPercent: self.loadPercent?.() ?? 0,
    relays: self.relays?.() ?? [],
  }
  return { out: 'ask', tag: REGISTER, message }
}

const isOurs = (tag: string): boolean => tag === REGISTER || tag === CONFIRM
const stay = (state: Registering): RegisterStep => ({ state, out: [] })

const REGISTERING: Registering = { at: 'registering', changed: false }
const REGISTER = 'register'
const CONFIRM = 'confirm'
const RETRY_ECHO = seconds(1)
/** A refused registration is an operator's matter: asked again slowly. */
const RETRY_REFUSED = seconds(30)
