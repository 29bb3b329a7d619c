// `serverOptions()` merges the defaults that only Fastify's constructor can set under the user's own options, where
// each kind of server reads them. What it sets here reaches the secondary listeners of 'localhost' as well.
import type http from 'node:http'
import type http2 from 'node:http2'
import type https from 'node:https'
import type { FastifyBaseLogger, FastifyHttp2Options, FastifyHttp2SecureOptions, FastifyHttpOptions, FastifyHttpsOptions } from 'fastify'
import { checkTimeouts, defaults } from './options.ts'

/** Options of node:http that Fastify passes on, inside `http` or, where that is set, inside `https`. */
interface NodeOptions { headersTimeout?: number, connectionsCheckingInterval?: number, settings?: { maxConcurrentStreams?: number } }

interface Given { http?: NodeOptions | null, https?: NodeOptions | boolean | null }

/** What was given for node:http. */
export function nodeOptionsOf ({ http, https }: Given): NodeOptions {
  return (isSecure(https) ? https : http) ?? {}
}

function isSecure (https: Given['https']): https is NodeOptions {
  return typeof https === 'object' && https !== null
}

/**
 * The options for `Fastify()`: `keepAliveTimeout` 72 s, `headersTimeout` 20 s checked every 5 s, 100 streams to an HTTP/2
 * session, no answer of 503 to requests that come in while the server drains. Whatever the user set stays as it is.
 * @throws FST_SURGE_BAD_OPTION when `headersTimeout` is above `requestTimeout`
 */
export function serverOptions<Server extends http2.Http2SecureServer, Logger extends FastifyBaseLogger = FastifyBaseLogger> (options: FastifyHttp2SecureOptions<Server, Logger>): FastifyHttp2SecureOptions<Server, Logger>
export function serverOptions<Server extends http2.Http2Server, Logger extends FastifyBaseLogger = FastifyBaseLogger> (options: FastifyHttp2Options<Server, Logger>): FastifyHttp2Options<Server, Logger>
export function serverOptions<Server extends https.Server, Logger extends FastifyBaseLogger = FastifyBaseLogger> (options: FastifyHttpsOptions<Server, Logger>): FastifyHttpsOptions<Server, Logger>
export function serverOptions<Server extends http.Server, Logger extends FastifyBaseLogger = FastifyBaseLogger> (options?: FastifyHttpOptions<Server, Logger>): FastifyHttpOptions<Server, Logger>
export function serverOptions (options: object = {}): object {
  const user: Given & { http2?: boolean, requestTimeout?: number } = options
  const { requestTimeout = defaults.requestTimeout } = user
  const merged: Record<string, unknown> = {
    requestTimeout,
    keepAliveTimeout: defaults.keepAliveTimeout,
    return503OnClosing: false,
    ...user
  }
  const secure = isSecure(user.https)
  const node = nodeOptionsOf(user)
  if (user.http2) {
    const { maxConcurrentStreams } = defaults.http2
    // Has neither of the two below; an `https` that is not set means HTTP/2 without TLS.
    merged[secure ? 'https' : 'http'] = { ...node, settings: { maxConcurrentStreams, ...node.settings } }
    return merged
  }
  checkTimeouts(node.headersTimeout, requestTimeout)
  merged[secure ? 'https' : 'http'] = {
    headersTimeout: requestTimeout > 0 ? Math.min(defaults.headersTimeout, requestTimeout) : defaults.headersTimeout,
    connectionsCheckingInterval: defaults.checkInterval,
    ...node
  }
  return merged
}
