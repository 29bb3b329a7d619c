// Measures every request, those that were refused, aborted, unknown or HEAD too, and what lies around it: gates,
// connections, upstreams, the runtime. Read on scrape; without it every optimisation is blind.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { Clash } from '../shared/errors.ts'
import { listenersOf } from '../shared/fastify-internals.ts'
import { frozen, instrumentsOf, type Family, type Instruments } from '../shared/instruments.ts'
import { isComplete } from '../shared/reply-ends.ts'
import { EXEMPT } from '../shared/route.ts'
import { ticketOf } from '../shared/ticket.ts'
import { watchSockets } from '../shared/watch-sockets.ts'
import { registerAcceptQueue } from './accept-queue.ts'
import { AdmissionMeter, type Gates } from './admission-meter.ts'
import { ConnectionMeter, type Connection } from './connection-meter.ts'
import { History } from './history.ts'
import { toMetricProducer, type MetricProducer } from './opentelemetry.ts'
import { readMetrics, type MetricsOptions, type PageOptions, type ResolvedOptions } from './options.ts'
import { ForeignMetric, type PrometheusRegistry } from './prom-client.ts'
import { CONTENT_TYPES, formatFor, metricName, writeText, type Format } from './prometheus-text.ts'
import { NO_STATUS, RequestMeter, type RouteMeter } from './request-meter.ts'
import { Runtime } from './runtime.ts'
import { describe, traceOf, type Span } from './span.ts'
import { delaySince } from './start-time.ts'
import { UpstreamMeter } from './upstream-meter.ts'

export type { Family, MetricProducer, MetricsOptions, PageOptions, PrometheusRegistry, Span }

export interface SurgeMetrics {
  /** Adds every instrument to a registry of prom-client or @prometheus-io/client; a name that is taken there stays as it is. */
  registerInto: (registry: PrometheusRegistry) => void
  /** For `metricProducers` of a MetricReader of the OpenTelemetry SDK. */
  metricProducer: () => MetricProducer
  /** All instruments with their values of now. */
  snapshot: () => Family[]
}

declare module 'fastify' {
  interface FastifyInstance {
    surgeMetrics: SurgeMetrics
  }
}

/** What a request of one route needs; held by its ticket. */
interface Metered { meter: RouteMeter, group: string | undefined }

interface Core {
  instruments: Instruments
  requests: RequestMeter
  admission: AdmissionMeter
  connections: ConnectionMeter
  /** Contexts that may have gates of their own. */
  contexts: Set<FastifyInstance>
}

const CACHED_MS = 1_000
const PAGE_RESOLUTION_MS = 10
const kOwn = Symbol('fastify-surge.metrics-route')

function createMetrics (app: FastifyInstance, options: ResolvedOptions): Core {
  const core: Core = {
    instruments: instrumentsOf(app),
    requests: new RequestMeter(),
    admission: new AdmissionMeter(),
    connections: new ConnectionMeter(),
    contexts: new Set([app])
  }
  const { instruments } = core
  const runtime = new Runtime()
  const upstreams = new UpstreamMeter(options.upstreams, systemClock.now)
  core.requests.register(instruments)
  core.admission.register(instruments, () => gatesOf(core.contexts))
  core.connections.register(instruments)
  upstreams.register(instruments)
  registerAcceptQueue(instruments, () => portsOf(app))
  runtime.register(instruments)

  watchListener(app.server, core.connections)
  app.addHook('onListen', async function surgeMeterSecondaryListeners () {
    for (const listener of listenersOf(app).slice(1)) watchListener(listener, core.connections)
  })
  app.addHook('onReady', async function surgeStartMeters () {
    runtime.start()
    upstreams.start()
  })
  app.addHook('onClose', async function surgeStopMeters () {
    runtime.stop()
    upstreams.stop()
  })
  declareEndpoint(app, options.endpoint, () => instruments.collect())
  if (options.page !== false) servePage(app, options.page, instruments)
  return core
}

/** A context without gates of its own inherits those of the one around it, which count once. */
function gatesOf (contexts: Iterable<FastifyInstance>): Set<Gates> {
  const gates = new Set<Gates>()
  for (const context of contexts) {
    const own = (context as { concurrency?: Gates }).concurrency
    if (own !== undefined) gates.add(own)
  }
  return gates
}

function portsOf (app: FastifyInstance): Set<number> {
  return new Set(listenersOf(app).map(listener => (listener.address() as AddressInfo | null)?.port).filter(port => port !== undefined))
}

function watchListener (listener: Server, meter: ConnectionMeter): void {
  const event = 'setSecureContext' in listener ? 'secureConnection' : 'connection'
  watchSockets(listener, event, socket => meter.open(socket as Connection, systemClock.now()), socket => meter.close(socket as Connection))
  listener.on('drop', () => meter.drop())
}

function declareEndpoint (app: FastifyInstance, url: string | false, collect: () => Family[]): void {
  if (url === false) return
  const written = new Map<Format, { text: string, at: number }>()

  function text (format: Format): string {
    const now = systemClock.now()
    const known = written.get(format)
    // Several scrapers, or one that is out of hand, cost one collection a second.
    if (known !== undefined && now - known.at < CACHED_MS) return known.text
    const text = writeText(collect(), format)
    written.set(format, { text, at: now })
    return text
  }

  declareOwnRoute(app, url, 'endpoint', async function surgeMetricsEndpoint (request, reply) {
    const format = formatFor(request.headers.accept)
    reply.header('content-type', CONTENT_TYPES[format]).header('cache-control', 'no-store').header('vary', 'accept')
    return text(format)
  })
}

/** Where the files of the page are, seen from `plugins/metrics` and from `dist/metrics` alike. */
const FILES = new URL('../../plugins/metrics/page/', import.meta.url)
const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

function servePage (app: FastifyInstance, { path, script = '' }: PageOptions, instruments: Instruments): void {
  const base = app.prefix + path
  const uplot = createRequire(import.meta.url).resolve('uplot').replace(/[^/\\]+$/, '')
  const escaped = (value: string): string => value.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
  const files: Array<[url: string, type: string, text: string]> = [
    ['', 'text/html', readFileSync(new URL('index.html', FILES), 'utf8').replaceAll('BASE', () => escaped(base)).replace('SCRIPT', () => escaped(script))],
    ['/page.js', 'text/javascript', readFileSync(new URL('page.js', FILES), 'utf8')],
    ['/chart.js', 'text/javascript', readFileSync(new URL('chart.js', FILES), 'utf8')],
    ['/page.css', 'text/css', readFileSync(new URL('page.css', FILES), 'utf8')],
    ['/uplot.js', 'text/javascript', readFileSync(`${uplot}uPlot.iife.min.js`, 'utf8')],
    ['/uplot.css', 'text/css', readFileSync(`${uplot}uPlot.min.css`, 'utf8')]
  ]
  for (const [url, type, text] of files) {
    declareOwnRoute(app, path + url, 'page', async function surgePageFile (_request, reply) {
      reply.header('content-type', `${type}; charset=utf-8`).header('cache-control', 'no-cache')
        .header('content-security-policy', CSP).header('x-content-type-options', 'nosniff')
      return text
    })
  }
  const history = new History()
  declareOwnRoute(app, `${path}/data`, 'page', async function surgePageData (request, reply) {
    reply.header('cache-control', 'no-store')
    return { moments: history.since(Number((request.query as { since?: string }).since) || 0) }
  })

  const delay = monitorEventLoopDelay({ resolution: PAGE_RESOLUTION_MS })
  let timer: NodeJS.Timeout | undefined
  app.addHook('onReady', async function surgeStartHistory () {
    delay.enable()
    timer = setInterval(function surgeRecordSecond () {
      history.record(Date.now(), instruments.collect(), delay.count === 0 ? 0 : Math.max(0, delay.max / 1e6 - PAGE_RESOLUTION_MS))
      delay.reset()
    }, 1_000).unref()
  })
  app.addHook('onClose', async function surgeStopHistory () {
    clearInterval(timer)
    delay.disable()
  })
}

/** A route of the suite's own: never refused, not measured, hidden from swagger; the app's hooks, such as its auth, hold for it. */
function declareOwnRoute (app: FastifyInstance, url: string, option: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>): void {
  const taken = new Clash(`The path ${url} is taken and fastify-surge/metrics answers there: remove that route, or pass \`metrics: { ${option}: '/another' }\` (or false).`)
  if (app.hasRoute({ method: 'GET', url: app.prefix + url })) throw taken
  app.route({ method: 'GET', url, exposeHeadRoute: true, logLevel: 'warn', schema: { hide: true } as object, config: { ...EXEMPT, [kOwn]: true } as object, handler })
  app.addHook('onRoute', function surgeMetricsPath (route: RouteOptions) {
    if (route.url === app.prefix + url && (route.config as any)?.[kOwn] === undefined && [route.method].flat().includes('GET')) throw taken
  })
}

function metricsStage (app: FastifyInstance, { requests, admission, connections }: Core, startHeader: string | undefined): Stage<Metered> {
  return {
    name: 'metrics',
    // Only read: the concurrency stage checks it.
    configKey: 'concurrency',

    configure (setting, { url }) {
      return { meter: requests.route(url), group: app.hasDecorator('concurrency') ? groupOf(setting) : undefined }
    },

    enter (ticket, metered) {
      const { raw } = ticket.request
      ticket.metered = metered
      metered.meter.method(raw.method!).active.count++
      // inject() has none once it is over.
      if (raw.socket) connections.request(raw.socket as Connection, ticket.arrival)
      if (startHeader !== undefined) {
        const delay = delaySince(raw.headers[startHeader], Date.now())
        if (delay !== undefined) connections.sinceHeader.observe(delay / 1000)
      }
      return true
    },

    close (ticket) {
      const metered = ticket.metered as Metered | undefined
      if (metered === undefined) return
      const { meter, group } = metered
      const { raw } = ticket.reply
      const method = meter.method(ticket.request.raw.method!)
      method.active.count--
      if (ticket.waited > 0 && group !== undefined) admission.waited(group, ticket.started ? 'admitted' : ticket.refusal === undefined ? 'gone' : 'shed', ticket.waited)
      if (ticket.upgraded !== undefined && !raw.headersSent) {
        method.ended((ticket.upgraded - ticket.arrival) / 1000, 101, ticket.trace)
        return
      }
      if (!isComplete(raw)) meter.aborted[ticket.headWritten ? 'reply' : ticket.started ? 'handler' : 'admission']++
      method.ended((ticket.moment - ticket.arrival) / 1000, raw.headersSent ? raw.statusCode : NO_STATUS, ticket.trace)
    }
  }
}

/** The gate that a route's `config.concurrency` names. */
function groupOf (setting: unknown): string | undefined {
  if (setting === false) return undefined
  return typeof setting === 'string' ? setting : (setting as { group?: string } | undefined)?.group ?? 'default'
}

/** In onSend, because @fastify/otel ends its span in the last one of the route. */
function describeSpans (app: FastifyInstance, onSpan: ((request: FastifyRequest) => Span | undefined) | undefined): void {
  const official = app.hasRequestDecorator('opentelemetry')
  if (!official && onSpan === undefined) return

  function spanOf (request: FastifyRequest): Span | undefined {
    if (onSpan !== undefined) return onSpan(request)
    const { instrumented, span } = (request as any).opentelemetry()
    return instrumented === true ? span : undefined
  }

  app.addHook('onSend', function surgeDescribeSpan (request, _reply, _payload, done) {
    const ticket = ticketOf(request.raw)
    const metered = ticket?.metered as Metered | undefined
    const span = metered === undefined ? undefined : spanOf(request)
    if (span !== undefined) {
      describe(span, metered!.group, ticket!.refusal, ticket!.waited)
      ticket!.trace = traceOf(span)
    }
    done()
  })
}

export default definePlugin<MetricsOptions, ResolvedOptions, Core>({
  name: 'metrics',
  key: 'metrics',
  read: readMetrics,
  perServer: true,
  decorates: ['surgeMetrics'],
  create: createMetrics,

  attach (app, core, options) {
    const { instruments, contexts } = core
    const startedAt = Date.now()
    contexts.add(app)
    app.addHook('onRegister', context => { contexts.add(context) })
    app.decorate('surgeMetrics', {
      registerInto (registry) {
        instruments.watch(instrument => {
          if (registry.getSingleMetric(metricName(instrument)) !== undefined) return
          registry.registerMetric(new ForeignMetric(instrument, () => instruments.points(instrument)))
        })
      },
      metricProducer: () => toMetricProducer(() => instruments.collect(), startedAt, Date.now),
      snapshot: () => instruments.collect().map(frozen)
    })
    admissionOf(app).add(metricsStage(app, core, options.startHeader))
    describeSpans(app, options.onSpan)
  }
})
