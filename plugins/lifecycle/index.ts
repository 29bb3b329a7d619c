// Answers liveness and readiness, and makes close() drain: it serves on while balancers notice, ends keep-alive with
// each reply, tells what lasts to end, and is over when the last reply is out. It prevents a close() that waits 73 s for
// idle connections.
import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption, Clash } from '../shared/errors.ts'
import { listenersOf, optionsOf } from '../shared/fastify-internals.ts'
import { setReadiness } from '../shared/readiness.ts'
import { EXEMPT } from '../shared/route.ts'
import { asksForUpgrade, streamOf } from '../shared/http2.ts'
import type { OwnListener } from '../shared/own-listener.ts'
import { endConnection } from '../shared/reply-ends.ts'
import { sidePathsOf } from '../shared/side-paths.ts'
import { drainChannel } from '../shared/telemetry.ts'
import type { Ticket } from '../shared/ticket.ts'
import { Connections } from './connections.ts'
import { Drain } from './drain.ts'
import { Farewell } from './farewell.ts'
import { closeListeners, unaskedOf, watchListener } from './listeners.ts'
import { readLifecycle, type Lifecycle, type LifecycleOptions } from './options.ts'
import { Saturation } from './saturation.ts'
import { answer, sideListener } from './side-listener.ts'
import { closeOnSignals } from './signals.ts'

export type { LifecycleOptions }

export interface LifecycleDecorator {
  /** Started, not draining, and not saturated where `readyz.saturation` is set. */
  readonly ready: boolean
  readonly draining: boolean
  /** Aborts when the server is about to close, behind `drainDelay`: time for event streams and WebSockets to end. */
  readonly signal: AbortSignal
  /** The port of the listener for probes, where `port` is set, once it listens. */
  readonly port: number | undefined
  /** Takes the server out of rotation and resolves after `drainDelay`; it goes on serving until `close()`. */
  drain: () => Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    lifecycle: LifecycleDecorator
  }
}

interface Core {
  drain: Drain
  saturation: Saturation | undefined
  connections: Connections
  sessions: Set<Http2Session>
  /** Replies that began before their handler had settled, and event streams: those that may last. */
  open: Set<Ticket>
  side: OwnListener | undefined
}

const kProbe = Symbol('fastify-surge.probe')
type Probe = 'livez' | 'readyz'

/** Fastify's own, when the app does not say: a preClose hook that takes longer makes close() fail. */
const PLUGIN_TIMEOUT = 10_000
/** Between two looks, while the server closes, at connections whose last request met no hook of the suite. */
const SWEEP_MS = 100
/** For the app's own onClose hooks, when the process is told to end. */
const HOOKS_MS = 2_000

async function createLifecycle (app: FastifyInstance, options: Lifecycle): Promise<Core> {
  const { drainDelay, closeTimeout, signals } = options
  const { pluginTimeout = PLUGIN_TIMEOUT } = optionsOf(app)
  if (pluginTimeout > 0 && drainDelay >= pluginTimeout) {
    throw new BadOption(`Expected \`lifecycle.drainDelay\` to be below Fastify's pluginTimeout (${pluginTimeout}), got ${drainDelay}: close() would fail before the server has drained. Raise pluginTimeout.`)
  }
  const drain = new Drain(drainDelay, systemClock, () => {
    app.log.info('draining')
    drainChannel.publish({})
  })
  const connections = new Connections()
  const sessions = new Set<Http2Session>()
  const core: Core = {
    drain,
    saturation: options.saturation === false ? undefined : new Saturation(options.saturation, systemClock),
    connections,
    sessions,
    open: new Set(),
    side: undefined
  }
  const farewell = new Farewell(systemClock, endReply)
  let deadline: NodeJS.Timeout | undefined
  let sweeping: NodeJS.Timeout | undefined
  let ending: NodeJS.Immediate | undefined

  function unasked (): Socket[] {
    return listenersOf(app).flatMap(unaskedOf)
  }

  setReadiness(app.server, {
    get ready () { return isReady(core) },
    get draining () { return drain.draining }
  })
  watchListener(app.server, connections, sessions)
  app.addHook('onListen', async function surgeWatchSecondaryListeners () {
    for (const listener of listenersOf(app).slice(1)) watchListener(listener, connections, sessions)
  })
  app.addHook('onReady', async function surgeReady () { drain.start() })

  app.addHook('preClose', async function surgeDrain () {
    await drain.drain()
    deadline = setTimeout(() => {
      app.log.warn(`close() took longer than ${closeTimeout} ms: ${connections.size} connections destroyed`)
      connections.destroy()
      for (const session of sessions) session.destroy()
    }, closeTimeout).unref()
    // Only when Fastify has stopped listening, which it does as soon as the preClose hooks are through.
    ending = setImmediate(() => {
      connections.close(unasked())
      sweeping = setInterval(() => connections.closeIdle(unasked()), SWEEP_MS).unref()
      for (const session of sessions) session.close()
      farewell.start([...core.open].filter(lasts), closeTimeout)
    })
    await closeListeners(listenersOf(app).slice(1), Math.min(closeTimeout, pluginTimeout > 0 ? pluginTimeout - drainDelay - 500 : Infinity))
  })
  app.addHook('onClose', async function surgeClosed () {
    clearTimeout(deadline)
    clearInterval(sweeping)
    clearImmediate(ending)
    farewell.stop()
    // Replies to inject(), for which no connection was waited.
    for (const ticket of core.open) if (lasts(ticket)) endReply(ticket)
  })

  if (signals.length > 0) {
    const takeBack = closeOnSignals({ signals, within: drainDelay + closeTimeout + HOOKS_MS, log: app.log, close: () => app.close() })
    app.addHook('onClose', async function surgeLetSignalsGo () { takeBack() })
  }
  if (options.listener !== false) core.side = openSideListener(app, core, options, options.listener)
  else for (const probe of ['livez', 'readyz'] as const) declareProbe(app, probe, options)
  return core
}

function openSideListener (app: FastifyInstance, core: Core, options: Lifecycle, listener: Exclude<Lifecycle['listener'], false>): OwnListener {
  const paths = sidePathsOf(app.server)
  paths.served = true
  const side = sideListener(paths.handlers)
  for (const probe of ['livez', 'readyz'] as const) {
    const url = options[probe]
    // It opens before the app's own does.
    if (url !== false) paths.handlers.set(url, (_request, response) => answerSide(response, probe === 'livez' || (isReady(core) && app.server.listening)))
  }
  app.addHook('onReady', async function surgeOpenSideListener () { await side.listen(listener) })
  // It answers until the very end: whoever asks then is to hear "not ready", not nothing.
  app.addHook('onClose', async function surgeCloseSideListener () { await side.close() })
  return side

  function answerSide (response: Parameters<typeof answer>[0], healthy: boolean): void {
    answer(response, healthy ? 200 : 503, healthy ? HEALTHY : UNHEALTHY)
  }
}

function isReady ({ drain, saturation }: Core): boolean {
  return drain.ready && saturation?.saturated !== true
}

/** Upgrades and event streams. What else was begun by hand may be a download, which is cut by nothing but the deadline. */
function lasts ({ request, reply }: Ticket): boolean {
  if (asksForUpgrade(request.raw)) return true
  // Headers that were handed to writeHead() are in the head only.
  const { raw } = reply as { raw: typeof reply.raw & { _header?: string } }
  return String(reply.getHeader('content-type') ?? /^content-type: *(.*)$/im.exec(raw._header ?? '')?.[1]).startsWith('text/event-stream')
}

/** Ends a reply that lasts, with its connection, or with its stream in HTTP/2. */
function endReply ({ closed, request: { raw } }: Ticket): void {
  if (closed) return
  const stream = streamOf(raw)
  if (stream === undefined) endConnection(raw)
  else stream.close()
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

function lifecycleStage (core: Core): Stage<{ probe: Probe | undefined }> {
  const { drain, connections, saturation, open } = core

  /** Streams of HTTP/2 are their session's business, whose socket they show as theirs; inject() has none once it is over. */
  function socketOf ({ request: { raw } }: Ticket): Socket | null {
    return streamOf(raw) === undefined ? raw.socket : null
  }

  function begin (ticket: Ticket): boolean {
    const socket = socketOf(ticket)
    return socket === null || connections.begin(socket)
  }

  return {
    name: 'lifecycle',

    configure: (_setting, route) => ({ probe: (route.config as any)[kProbe] }),

    enter (ticket, { probe }) {
      // Held for ever: its connection is about to end.
      if (!begin(ticket)) return false
      if (probe === undefined) return true
      answerProbe(ticket, probe === 'livez' || isReady(core))
      return false
    },

    overtaken (ticket) {
      begin(ticket)
    },

    head (ticket) {
      if (!ticket.refused && (!ticket.settled || ticket.isEventStream)) open.add(ticket)
      if (!drain.draining) return
      const socket = socketOf(ticket)
      // Node writes `Connection: close` by it; HTTP/2 has no such thing.
      if (socket !== null && connections.mayEnd(socket)) {
        const { raw } = ticket.reply
        raw.shouldKeepAlive = false
        // The app's own field would keep it, and what is asked on it after that would wait for ever.
        if (ticket.reply.hasHeader('connection')) ticket.reply.header('connection', 'close')
        if (raw.hasHeader('connection')) raw.setHeader('connection', 'close')
      }
    },

    close (ticket) {
      open.delete(ticket)
      if (saturation !== undefined && !ticket.route.exempt) saturation.record(ticket.refused && ticket.reply.statusCode === 503)
      const socket = socketOf(ticket)
      if (socket !== null) connections.end(socket)
    }
  }
}

const HEALTHY = '{"status":"ok"}'
const UNHEALTHY = '{"status":"unavailable"}'

function answerProbe ({ reply }: Ticket, healthy: boolean): void {
  reply
    .code(healthy ? 200 : 503)
    .header('cache-control', 'no-store')
    .header('content-type', 'application/json; charset=utf-8')
    .send(healthy ? HEALTHY : UNHEALTHY)
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
      get ready () { return isReady(core) },
      get draining () { return drain.draining },
      get signal () { return drain.signal },
      get port () { return core.side?.port },
      drain: () => drain.drain()
    })
    admissionOf(app).add(lifecycleStage(core))
  }
})
