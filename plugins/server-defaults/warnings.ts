// Unsafe settings that are not ours to change but nobody should run in production without knowing: one sentence each.
import { trustProxyWarning } from '../shared/trust-proxy.ts'

/** When each line of Node stops getting security fixes (nodejs/Release). */
const END_OF_LIFE: Record<number, string> = {
  18: '2025-04-30', 20: '2026-04-30', 21: '2024-06-01', 22: '2027-04-30', 23: '2025-06-01', 24: '2028-04-30', 25: '2026-06-01', 26: '2029-04-30'
}

export interface Facts {
  trustProxy: unknown
  /** Milliseconds, as the listener has it now. */
  keepAliveTimeout: number | undefined
  lbIdleTimeout: number | undefined
  /** Whether Fastify answers 503 while it closes. */
  return503OnClosing: boolean
  /** 'v20.19.0' */
  nodeVersion: string
  /** 'YYYY-MM-DD' */
  today: string
}

export function unsafeSettings (facts: Facts): string[] {
  const { trustProxy, keepAliveTimeout, lbIdleTimeout, nodeVersion, today } = facts
  const warnings: string[] = []
  const ofProxy = trustProxyWarning(trustProxy)
  if (ofProxy !== undefined) warnings.push(ofProxy)
  if (lbIdleTimeout !== undefined && keepAliveTimeout !== undefined && keepAliveTimeout <= lbIdleTimeout) {
    warnings.push(`\`keepAliveTimeout\` (${keepAliveTimeout}) must be above the balancer's idle timeout (${lbIdleTimeout}), else it sends requests on connections that the server is closing and answers 502.`)
  }
  if (facts.return503OnClosing) {
    warnings.push('This server answers 503 to what arrives while it closes, instead of serving on while it drains. Make it with Fastify(serverOptions({ … })).')
  }
  const major = Number(/^v(\d+)/.exec(nodeVersion)?.[1])
  const end = END_OF_LIFE[major]
  if (end !== undefined && end < today) warnings.push(`Node ${major} has had no security fixes since ${end}.`)
  return warnings
}
