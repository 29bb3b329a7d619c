// Measures every request, those that were refused, aborted, unknown or HEAD too, and what lies around it: gates,
// connections, upstreams, the runtime. Read on scrape; without it every optimisation is blind.
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { Clash } from '../shared/errors.ts'
import { listenersOf } from '../shared/fastify-internals.ts'
import { gatesOf } from '../shared/gates.ts'
import { frozen, instrumentsOf, type Family, type Instruments } from '../shared/instruments.ts'
import { isComplete } from '../shared/reply-ends.ts'
import { EXEMPT } from '../shared/route.ts'
import { ticketOf, type Ticket } from '../shared/ticket.ts'
import { watchSockets } from '../shared/watch-sockets.ts'
import { registerAcceptQueue } from './accept-queue.ts'
import { AdmissionMeter, groupOf } from './admission-meter.ts'
import { ConnectionMeter, type Connection } from './connection-meter.ts'
import { History } from './history.ts'
import { toMetricProducer, type MetricProducer } from './opentelemetry.ts'
import { readMetrics, type MetricsOptions, type PageOptions, type ResolvedOptions } from './options.ts'
import { CSP, readPage } from './page-files.ts'
import { ForeignMetric, type PrometheusRegistry } from './prom-client.ts'
import { CONTENT_TYPES, formatFor, metricName } from './prometheus-text.ts'
import { Recorder } from './recorder.ts'
import { NO_STATUS, RequestMeter, type RouteMeter } from './request-meter.ts'
import { Runtime } from './runtime.ts'
import { Scrape } from './scrape.ts'
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
  /** Of the page, where there is one. */
  recorder: Recorder | undefined
}

const kOwn = Symbol('fastify-surge.metrics-route')

function createMetrics (app: FastifyInstance, options: ResolvedOptions): Core {
  const core: Core = {
    instruments: instrumentsOf(app),
    requests: new RequestMeter(),
    admission: new AdmissionMeter(),
    connections: new ConnectionMeter(),
    recorder: undefined
  }
  const { instruments } = core
  const runtime = new Runtime()
  const upstreams = new UpstreamMeter(options.upstreams, systemClock.now)
  core.requests.register(instruments)
  core.admission.register(instruments, () => gatesOf(app.server))
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
  if (options.page !== false) core.recorder = servePage(app, options.page, instruments)
  return core
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
  const scrape = new Scrape(collect)

  declareOwnRoute(app, url, 'endpoint', async function surgeMetricsEndpoint (request, reply) {
    const format = formatFor(request.headers.accept)
    reply.header('content-type', CONTENT_TYPES[format]).header('cache-control', 'no-store').header('vary', 'accept')
    return scrape.text(format, systemClock.now())
  })
}

function servePage (app: FastifyInstance, { path, script = '' }: PageOptions, instruments: Instruments): Recorder {
  for (const { url, type, text } of readPage(app.prefix + path, script)) {
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

  const recorder = new Recorder(history, instruments)
  app.addHook('onReady', async function surgeStartHistory () { recorder.start() })
  app.addHook('onClose', async function surgeStopHistory () { recorder.stop() })
  return recorder
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

function metricsStage (app: FastifyInstance, { requests, admission, connections, recorder }: Core, startHeader: string | undefined): Stage<Metered> {
  function begin (ticket: Ticket, metered: Metered): boolean {
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
  }

  return {
    name: 'metrics',
    // Only read: the concurrency stage checks it.
    configKey: 'concurrency',

    configure (setting, { url }) {
      return { meter: requests.route(url), group: app.hasDecorator('concurrency') ? groupOf(setting) : undefined }
    },

    enter: begin,

    /** A preflight that was answered ahead of the suite, say: it counts from here on. */
    overtaken (ticket) {
      const step = ticket.route.steps.find(({ stage }) => stage.name === 'metrics')
      if (step !== undefined) begin(ticket, step.settings as Metered)
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
      const latency = ticket.moment - ticket.arrival
      const status = raw.headersSent ? raw.statusCode : NO_STATUS
      method.ended(latency / 1000, status, ticket.trace)
      if (recorder !== undefined && status !== NO_STATUS && status < 400) recorder.replied(latency)
    }
  }
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
    const { instruments } = core
    const startedAt = Date.now()
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
