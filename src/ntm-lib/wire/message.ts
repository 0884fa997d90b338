import type {
  DirectionRequest,
  DirectionResponse,
  PathAccept,
  PathClose,
  PathCloseResponse,
  PathExtend,
  PeerMoved,
  PeerMovedResponse,
  RouteDirection,
} from './messages/direction.ts'
import type { CertRenew, CertRenewResponse } from './messages/membership.ts'
import type { Refusal } from './messages/refusal.ts'
import type {
  LocationConfirm,
  LocationConfirmResponse,
  Registration,
  RegistrationResponse,
} from './messages/registration.ts'
import type { RelayAccept, RelayDirection, RelayRelease, RelayReleaseResponse } from './messages/relay.ts'

/** What an envelope can ask. */
export type Request =
  | Registration
  | LocationConfirm
  | DirectionRequest
  | RouteDirection
  | PathExtend
  | PeerMoved
  | RelayDirection
  | RelayRelease
  | PathClose
  | CertRenew
/** What an envelope can answer. */
export type Response =
  | RegistrationResponse
  | LocationConfirmResponse
  | DirectionResponse
  | PathAccept
  | PathCloseResponse
  | PeerMovedResponse
  | RelayAccept
  | RelayReleaseResponse
  | CertRenewResponse
  | Refusal
export type Message = Request | Response
export type Kind = Message['kind']
