// The limits of the server itself: what an idle, slow or greedy connection may take.
import { integer, milliseconds, readOptions, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'

export interface ServerDefaults {
  /** Milliseconds in which a whole request must have arrived; 0 sets no limit, so that a large upload may take its time. @default 0 */
  requestTimeout: number
  /** Milliseconds in which the request's header must have arrived. @default 20000 */
  headersTimeout: number
  /** Milliseconds that an idle connection is kept; more than the idle timeout of the balancer in front. @default 72000 */
  keepAliveTimeout: number
  /** Milliseconds between two looks at these timeouts. @default 5000 */
  checkInterval: number
  /** Open connections at most, a listener; more are dropped. An integer ≥ 1. @default no limit */
  maxConnections: number | undefined
  /** Requests on one connection before it is closed; 0 sets no limit. @default 0 */
  maxRequestsPerSocket: number | undefined
  /** Milliseconds after which the balancer in front drops an idle connection; a keep-alive that is no longer warns at boot. @default unknown */
  lbIdleTimeout: number | undefined
}

export type ServerDefaultsOptions = Partial<ServerDefaults>

export const defaults: ServerDefaults = {
  requestTimeout: 0,
  headersTimeout: 20_000,
  keepAliveTimeout: 72_000,
  checkInterval: 5_000,
  maxConnections: undefined,
  maxRequestsPerSocket: undefined,
  lbIdleTimeout: undefined
}

const rules: Rules<ServerDefaults> = {
  requestTimeout: milliseconds(0),
  headersTimeout: milliseconds(),
  keepAliveTimeout: milliseconds(),
  checkInterval: milliseconds(),
  maxConnections: integer(1),
  maxRequestsPerSocket: integer(0),
  lbIdleTimeout: milliseconds()
}

/** Only what the user gave, checked: what was left out must not look like a wish. */
export function readServerDefaults (input: ServerDefaultsOptions): ServerDefaultsOptions {
  const given = readOptions<ServerDefaultsOptions>('serverDefaults', input, rules, {})
  checkTimeouts(given.headersTimeout, given.requestTimeout)
  return given
}

/**
 * Node swaps the two when the header may take longer than the whole request, and then neither is what was asked for.
 * @throws FST_SURGE_BAD_OPTION
 */
export function checkTimeouts (headersTimeout: number | undefined, requestTimeout: number | undefined): void {
  if (headersTimeout !== undefined && requestTimeout !== undefined && requestTimeout > 0 && headersTimeout > requestTimeout) {
    throw new BadOption(`Expected \`headersTimeout\` to be at most \`requestTimeout\` (${requestTimeout}), got ${headersTimeout}: the header is a part of the request`)
  }
}
