import { between, type Instant, instant } from '#ntm-lib/base/time.ts'

/** One node as flows see it: how many it has, and how fast it may open more. */
export type FlowNode = {
  readonly key: string
  /** Row of the tunnel that its answers take; 0 while it has none. */
  via: number
  flows: number
  /** Fragments of it that wait for their first one. */
  parked: number
  /** Token bucket of new flows. */
  tokens: number
  filledAt: Instant
  readonly burst: number
  readonly perSecond: number
}

export const DEFAULT_NEW_FLOWS = { burst: 512, perSecond: 128 } as const

export const newFlowNode = (
  key: string,
  limits: { readonly burst: number; readonly perSecond: number } = DEFAULT_NEW_FLOWS,
): FlowNode => ({ key, via: 0, flows: 0, parked: 0, tokens: limits.burst, filledAt: instant(0), ...limits })

/** Takes the right to open one flow; false when the node has been opening them too fast. */
export function takeToken(node: FlowNode, now: Instant): boolean {
  const grown = node.tokens + (between(node.filledAt, now) / 1000) * node.perSecond
  node.tokens = Math.min(node.burst, Math.max(node.tokens, grown))
  node.filledAt = now
  if (node.tokens < 1) return false
  node.tokens--
  return true
}
