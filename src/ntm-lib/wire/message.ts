import type {
  DirectionRequest,
  DirectionResponse,
  PathAccept,
  PathClose,
  PathCloseResponse,
  PathExtend,
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

/** What an envelope can ask. */
export type Request =
  | Registration
  | LocationConfirm
  | DirectionRequest
  | RouteDirection
  | PathExtend
  | PathClose
  | CertRenew
/** What an envelope can answer. */
export type Response =
  | RegistrationResponse
  | LocationConfirmResponse
  | DirectionResponse
  | PathAccept
  | PathCloseResponse
  | CertRenewResponse
  | Refusal
export type Message = Request | Response
export type Kind = Message['kind']
