// Gives every listener limits of time and number that hold for each connection, and says at boot which settings are
// unsafe. It prevents connections that nobody ends, and 502s from a balancer that outlives the server's keep-alive.
import type { Server } from 'node:http'
import type { Http2Server } from 'node:http2'
import type { FastifyInstance } from 'fastify'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { addNodeOptions, listenersOf, optionsOf } from '../shared/fastify-internals.ts'
import { instrumentsOf } from '../shared/instruments.ts'
import { refusals, RefusalLog } from '../shared/telemetry.ts'
import { ListenerGuard } from './listener-guard.ts'
import { checkTimeouts, defaults, readServerDefaults, type GivenServerDefaults, type Http2Limits, type ServerDefaultsOptions } from './options.ts'
import { nodeOptionsOf, serverOptions } from './server-options.ts'
import { applySettings, type Listener } from './settings.ts'
import { unsafeSettings } from './warnings.ts'

export type { ServerDefaultsOptions }
export { serverOptions }

function timeoutsOf ({ headersTimeout, keepAliveTimeout }: Listener): { headersTimeout?: number, keepAliveTimeout?: number } {
  return { ...(headersTimeout ? { headersTimeout } : {}), ...(keepAliveTimeout ? { keepAliveTimeout } : {}) }
}

/** Node keeps an idle connection so much longer than it tells its client. */
const KEEP_ALIVE_BUFFER_MS = 1_000

/** Milliseconds in which the next request has come, if Node's two limits hold; where the app took one off there is none. */
function idleTimeoutOf ({ headersTimeout, keepAliveTimeout }: Listener): number {
  return headersTimeout && keepAliveTimeout ? keepAliveTimeout + KEEP_ALIVE_BUFFER_MS + headersTimeout : Infinity
}

/** HTTP/2 allows 2³²−1 streams by default; a number that the app gave its server stays. */
function limitStreams (app: FastifyInstance, listener: Server, given: Http2Limits | undefined): void {
  if (!('updateSettings' in listener)) return
  const set = nodeOptionsOf(optionsOf(app) as object).settings?.maxConcurrentStreams
  const { maxConcurrentStreams } = given ?? defaults.http2
  if (set === undefined || set === defaults.http2.maxConcurrentStreams) (listener as unknown as Http2Server).updateSettings({ maxConcurrentStreams })
}

/** What the app gave Node, by itself: serverOptions() puts the default there. */
function askedHeadersTimeout (app: FastifyInstance): number | undefined {
  const { headersTimeout } = nodeOptionsOf(optionsOf(app) as object)
  return headersTimeout === defaults.headersTimeout ? undefined : headersTimeout
}

export default definePlugin<ServerDefaultsOptions, GivenServerDefaults, null>({
  name: 'server-defaults',
  key: 'serverDefaults',
  read: readServerDefaults,
  perServer: true,

  create (app, given, suite) {
    const server = app.server as Listener
    for (const conflict of applySettings(server, given, defaults)) app.log.warn(conflict)
    checkTimeouts(given.headersTimeout ?? askedHeadersTimeout(app), server.requestTimeout ?? undefined)
    // Read once, when a listener begins to listen: too late for the hook below.
    addNodeOptions(app, { connectionsCheckingInterval: given.checkInterval ?? defaults.checkInterval })

    // As they are on the listener: what was set there before holds.
    const { headersTimeout, keepAliveTimeout } = { ...defaults, ...given, ...timeoutsOf(server) }
    const refused = new RefusalLog(app.log, systemClock)
    instrumentsOf(app).add(refusals, add => refused.read(add))
    const guard = new ListenerGuard({ ...defaults, ...given, headersTimeout, keepAliveTimeout, idleTimeout: idleTimeoutOf(server) }, systemClock, refused, given.dryRun ?? suite.dryRun)
    guard.watch(app.server)
    limitStreams(app, app.server, given.http2)

    app.addHook('onListen', async function surgeSecondaryListeners () {
      for (const listener of listenersOf(app).slice(1)) {
        applySettings(listener as Listener, given, defaults)
        guard.watch(listener)
        limitStreams(app, listener, given.http2)
      }
    })

    const { trustProxy, return503OnClosing = true } = optionsOf(app)
    const warnings = unsafeSettings({
      trustProxy,
      keepAliveTimeout: server.keepAliveTimeout ?? undefined,
      lbIdleTimeout: given.lbIdleTimeout,
      return503OnClosing,
      nodeVersion: process.version,
      today: new Date().toISOString().slice(0, 10)
    })
    for (const warning of warnings) app.log.warn(warning)
    return null
  },

  attach () {}
})
