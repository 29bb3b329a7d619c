// Answers liveness and readiness, and makes close() drain: it serves on while balancers notice, ends keep-alive with
// each reply, and is over when the last reply is out. It prevents a close() that waits 73 s for idle connections.
import type { Server } from 'node:http'
import type { Http2Session } from 'node:http2'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption, Clash } from '../shared/errors.ts'
import { listenersOf, optionsOf } from '../shared/fastify-internals.ts'
import { EXEMPT } from '../shared/route.ts'
import { drainChannel } from '../shared/telemetry.ts'
import type { Ticket } from '../shared/ticket.ts'
import { Connections, type Connection } from './connections.ts'
import { Drain } from './drain.ts'
import { readLifecycle, type Lifecycle, type LifecycleOptions } from './options.ts'

export type { LifecycleOptions }

export interface LifecycleDecorator {
  /** Started and not draining. */
  readonly ready: boolean
  readonly draining: boolean
  /** Takes the server out of rotation and resolves after `drainDelay`; it goes on serving until `close()`. */
  drain: () => Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    lifecycle: LifecycleDecorator
  }
}

interface Core { drain: Drain, connections: Connections, sessions: Set<Http2Session> }

const kProbe = Symbol('fastify-surge.probe')
type Probe = 'livez' | 'readyz'

/** Fastify's own, when the app does not say: a preClose hook that takes longer makes close() fail. */
const PLUGIN_TIMEOUT = 10_000

function createLifecycle (app: FastifyInstance, options: Lifecycle): Core {
  const { drainDelay, closeTimeout } = options
  const { pluginTimeout = PLUGIN_TIMEOUT } = optionsOf(app)
  if (pluginTimeout > 0 && drainDelay >= pluginTimeout) {
    throw new BadOption(`Expected \`lifecycle.drainDelay\` to be below Fastify's pluginTimeout (${pluginTimeout}), got ${drainDelay}: close() would fail before the server has drained. Raise pluginTimeout.`)
  }
  const drain = new Drain(drainDelay, systemClock, () => {
    app.log.info('draining')
    drainChannel.publish({})
  })
  const core: Core = { drain, connections: new Connections(), sessions: new Set() }
  watchListener(app.server, core)
  app.addHook('onListen', async function surgeWatchSecondaryListeners () {
    for (const listener of listenersOf(app).slice(1)) watchListener(listener, core)
  })
  app.addHook('onReady', async function surgeReady () { drain.start() })

  app.addHook('preClose', async function surgeDrain () {
    await drain.drain()
    const timer = setTimeout(() => {
      app.log.warn(`close() took longer than ${closeTimeout} ms: ${core.connections.size} connections destroyed`)
      core.connections.destroy()
      for (const session of core.sessions) session.destroy()
    }, closeTimeout).unref()
    app.server.once('close', () => clearTimeout(timer))
    // Only when Fastify has stopped listening, which it does as soon as the preClose hooks are through.
    setImmediate(() => {
      core.connections.close()
      for (const session of core.sessions) session.close()
    })
    await closeSecondaryListeners(app, Math.min(closeTimeout, pluginTimeout > 0 ? pluginTimeout - drainDelay - 500 : Infinity))
  })

  declareProbe(app, 'livez', options)
  declareProbe(app, 'readyz', options)
  return core
}

function watchListener (listener: Server, { connections, sessions }: Core): void {
  function watch (connection: Connection & NodeJS.EventEmitter): void {
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
  }
  const secure = 'setSecureContext' in listener
  listener.on(secure ? 'secureConnection' : 'connection', watch)
  listener.on('session', (session: Http2Session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  // Node calls this one from server.close().
  if ('closeIdleConnections' in listener) listener.closeIdleConnections = () => connections.closeIdle()
}

/** Fastify closes the secondary listeners of 'localhost' without waiting for what they serve. */
async function closeSecondaryListeners (app: FastifyInstance, atMost: number): Promise<void> {
  const closed = listenersOf(app).slice(1).filter(listener => listener.listening)
    .map(listener => new Promise<void>(resolve => listener.close(() => resolve())))
  if (closed.length === 0) return
  let timer
  await Promise.race([Promise.all(closed), new Promise(resolve => { timer = setTimeout(resolve, atMost) })])
  clearTimeout(timer)
}

function declareProbe (app: FastifyInstance, probe: Probe, options: Lifecycle): void {
  const url = options[probe]
  if (url === false) return
  const taken = new Clash(`The path ${url} is taken and fastify-surge/lifecycle answers its ${probe} probe there: remove that route, or pass \`lifecycle: { ${probe}: '/another' }\` (or false).`)
  if (app.hasRoute({ method: 'GET', url: app.prefix + url })) throw taken
  const config = { ...EXEMPT, [kProbe]: probe } as object
  app.route({
    method: ['GET', 'HEAD'],
    url,
    logLevel: 'warn',
    schema: { hide: true } as object,
    config,
    // The stage answers before anybody's hooks; this is what a plugin sees that lists routes.
    handler: async (_request, reply) => reply.code(503).send()
  })
  app.addHook('onRoute', function surgeProbePath (route: RouteOptions) {
    if (route.url === app.prefix + url && (route.config as any)?.[kProbe] === undefined && [route.method].flat().includes('GET')) throw taken
  })
}

function lifecycleStage ({ drain, connections }: Core): Stage<{ probe: Probe | undefined }> {
  return {
    name: 'lifecycle',

    configure: (_setting, route) => ({ probe: (route.config as any)[kProbe] }),

    enter (ticket, { probe }) {
      connections.begin(ticket.request.raw.socket)
      if (probe === undefined) return true
      answerProbe(ticket, probe === 'livez' || drain.ready)
      return false
    },

    overtaken (ticket) {
      connections.begin(ticket.request.raw.socket)
    },

    head (ticket) {
      // Node writes `Connection: close` by it; HTTP/2 has no such thing.
      if (drain.draining && ticket.request.raw.httpVersionMajor === 1) ticket.reply.raw.shouldKeepAlive = false
    },

    close (ticket) {
      connections.end(ticket.request.raw.socket)
    }
  }
}

function answerProbe ({ reply }: Ticket, healthy: boolean): void {
  reply
    .code(healthy ? 200 : 503)
    .header('cache-control', 'no-store')
    .header('content-type', 'application/json; charset=utf-8')
    .send(healthy ? '{"status":"ok"}' : '{"status":"unavailable"}')
}

export default definePlugin<LifecycleOptions, Lifecycle, Core>({
  name: 'lifecycle',
  key: 'lifecycle',
  read: readLifecycle,
  perServer: true,
  decorates: ['lifecycle'],
  create: createLifecycle,

  attach (app, core) {
    const { drain } = core
    app.decorate('lifecycle', {
      get ready () { return drain.ready },
      get draining () { return drain.draining },
      drain: () => drain.drain()
    })
    admissionOf(app).add(lifecycleStage(core))
  }
})
