// The limits of the server itself: what an idle, slow or greedy connection may take.
import { boolean, either, integer, milliseconds, object, oneOf, readOptions, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { MinBodyRate } from './body-rate.ts'

export interface Http2Limits {
  /** Streams that a session may have open. An integer ≥ 1. @default 100 */
  maxConcurrentStreams: number
  /** Streams that a client may reset at once; then its session ends. An integer ≥ 1. @default 1000 */
  streamResetBurst: number
  /** Resets a second by which that recovers. An integer ≥ 1. @default 33 */
  streamResetRate: number
}

export interface ServerDefaults {
  /** Milliseconds in which a whole request must have arrived; 0 sets no limit, so that a large upload may take its time. @default 0 */
  requestTimeout: number
  /** Milliseconds in which the request's header must have arrived; the TLS handshake and the first HTTP/2 stream as well. @default 20000 */
  headersTimeout: number
  /** Milliseconds that an idle connection is kept; more than the idle timeout of the balancer in front. @default 72000 */
  keepAliveTimeout: number
  /** Milliseconds between two looks at these timeouts. @default 5000 */
  checkInterval: number
  /** The least rate at which a request body must come in while the server reads it; below it 408 and the end; false for none. @default { bytesPerSecond: 240, grace: 5000 } */
  minBodyRate: MinBodyRate | false
  /** Milliseconds for which a reply may wait for its client without a byte moving; then the connection is destroyed; false for no limit. @default 60000 */
  writeStallTimeout: number | false
  /** Open connections at most, a listener; more are dropped. An integer ≥ 1. @default no limit */
  maxConnections: number | undefined
  /** Open connections of one client address, over all listeners; more are dropped. An IPv6 address is its /64. Behind a proxy all are the proxy's. An integer ≥ 1. @default no limit */
  maxConnectionsPerIp: number | undefined
  /** Requests of one connection at work at the same time; what is pipelined beyond gets a 503 and the end; false for no limit. An integer ≥ 1. @default 16 */
  maxPipelined: number | false
  /** Header fields of a request; more are answered 431; false for no limit. An integer ≥ 1. @default 100 */
  maxHeaders: number | false
  /** Requests on one connection before it is closed; 0 sets no limit. @default no limit */
  maxRequestsPerSocket: number | undefined
  /** Milliseconds after which the balancer in front drops an idle connection; a keep-alive that is no longer warns at boot. @default unknown */
  lbIdleTimeout: number | undefined
  /** Limits of HTTP/2 sessions; what is left out is at its default. */
  http2: Http2Limits
  /** Counts and logs what the limits of this plugin would refuse or end; those of Node (`maxConnections`, the timeouts) act. @default the umbrella's, or false */
  dryRun: boolean | undefined
}

export type ServerDefaultsOptions = Partial<Omit<ServerDefaults, 'minBodyRate' | 'http2'>> & {
  minBodyRate?: Partial<MinBodyRate> | false
  http2?: Partial<Http2Limits>
}

/** What was given, with nested options completed. */
export type GivenServerDefaults = Partial<ServerDefaults>

export const defaults: ServerDefaults = {
  requestTimeout: 0,
  headersTimeout: 20_000,
  keepAliveTimeout: 72_000,
  checkInterval: 5_000,
  minBodyRate: { bytesPerSecond: 240, grace: 5_000 },
  writeStallTimeout: 60_000,
  maxConnections: undefined,
  maxConnectionsPerIp: undefined,
  maxPipelined: 16,
  maxHeaders: 100,
  maxRequestsPerSocket: undefined,
  lbIdleTimeout: undefined,
  http2: { maxConcurrentStreams: 100, streamResetBurst: 1_000, streamResetRate: 33 },
  dryRun: undefined
}

const rateRules: Rules<MinBodyRate> = { bytesPerSecond: integer(1), grace: milliseconds() }
const http2Rules: Rules<Http2Limits> = { maxConcurrentStreams: integer(1, 2 ** 32 - 1), streamResetBurst: integer(1), streamResetRate: integer(1) }

const rules: Rules<ServerDefaults> = {
  requestTimeout: milliseconds(0),
  headersTimeout: milliseconds(),
  keepAliveTimeout: milliseconds(),
  checkInterval: milliseconds(),
  minBodyRate: either(oneOf(false), object((value, path) => readOptions(path, value, rateRules, defaults.minBodyRate as MinBodyRate))),
  writeStallTimeout: either(oneOf(false), milliseconds()),
  maxConnections: integer(1),
  maxConnectionsPerIp: integer(1),
  maxPipelined: either(oneOf(false), integer(1)),
  maxHeaders: either(oneOf(false), integer(1)),
  maxRequestsPerSocket: integer(0),
  lbIdleTimeout: milliseconds(),
  http2: object((value, path) => readOptions(path, value, http2Rules, defaults.http2)),
  dryRun: boolean
}

/** Only what the user gave, checked: what was left out must not look like a wish. */
export function readServerDefaults (input: ServerDefaultsOptions): GivenServerDefaults {
  const given = readOptions<GivenServerDefaults>('serverDefaults', input, rules, {})
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
