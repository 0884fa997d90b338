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
import type {
  CoordinatorHello,
  CoordinatorHelloResponse,
  ForeignDirection,
  ForeignMoved,
  ForeignMovedResponse,
} from './messages/federation.ts'
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
  | CoordinatorHello
  | ForeignDirection
  | ForeignMoved
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
  | CoordinatorHelloResponse
  | ForeignMovedResponse
  | Refusal
export type Message = Request | Response
export type Kind = Message['kind']
