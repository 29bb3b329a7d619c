// What others take the measurements with: both Prometheus clients, the OpenTelemetry SDK, and @fastify/otel's spans.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-node'
import Fastify, { type FastifyInstance } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import metrics, { type MetricsOptions } from '../../plugins/metrics/index.ts'
import { instrumentsOf } from '../../plugins/shared/instruments.ts'
import { deferred, eventually, listen, RawClient } from '../support/raw-http.ts'

async function serving (t: TestContext, options: MetricsOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(metrics, options)
  app.get('/', async () => 'ok')
  await app.inject('/')
  return app
}

for (const name of ['prom-client', '@prometheus-io/client']) {
  test(`${name}: a registry writes our families beside its own, as Prometheus text and as OpenMetrics`, async t => {
    const app = await serving(t)
    const { Registry, Counter, collectDefaultMetrics } = await import(name)
    const registry = new Registry()
    const own = new Counter({ name: 'mine_total', help: 'Mine', registers: [registry] })
    own.inc()
    collectDefaultMetrics({ register: registry })
    app.surgeMetrics.registerInto(registry)
    // Again, and behind the default metrics: a name that is taken stays as it is.
    app.surgeMetrics.registerInto(registry)
    instrumentsOf(app).add({ name: 'added.later', type: 'gauge', help: 'Later' }, add => add(7))
    const text = await registry.metrics()
    assert.match(text, /^mine_total 1$/m)
    assert.match(text, /^# TYPE http_server_request_duration_seconds histogram$/m)
    assert.match(text, /^http_server_request_duration_seconds_bucket\{le="0.005",http_request_method="GET",http_route="\/",http_response_status_code="?200"?\} [01]$/m)
    assert.match(text, /^http_server_request_duration_seconds_count\{http_request_method="GET",http_route="\/",http_response_status_code="?200"?\} 1$/m)
    assert.match(text, /^fastify_connections_opened_total 0$/m)
    assert.match(text, /^added_later 7$/m)
    // Of a cluster counts are added up; of several loops the latest is the one to know of.
    assert.deepEqual(['fastify_connections_opened_total', 'nodejs_eventloop_delay_p99_seconds'].map(name => registry.getSingleMetric(name).aggregator), ['sum', 'max'])
    registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
    const open = await registry.metrics()
    assert.match(open, /^# TYPE fastify_connections_opened counter$/m)
    assert.match(open, /^fastify_connections_opened_total 0$/m)
  })
}

test('OpenTelemetry: a periodic reader exports the histograms with their attributes', async t => {
  const app = await serving(t)
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000, metricProducers: [app.surgeMetrics.metricProducer()] })
  const provider = new MeterProvider({ readers: [reader] })
  t.after(() => provider.shutdown())
  await reader.forceFlush()
  const exported = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics).filter(({ scope }) => scope.name === 'fastify-surge').flatMap(({ metrics }) => metrics)
  const { descriptor, dataPoints } = exported.find(({ descriptor }) => descriptor.name === 'http.server.request.duration')!
  assert.equal(descriptor.unit, 's')
  const [{ attributes, value, startTime, endTime }] = dataPoints as [any]
  assert.deepEqual(attributes, { 'http.request.method': 'GET', 'http.route': '/', 'http.response.status_code': 200 })
  assert.deepEqual([value.count, value.buckets.counts.length], [1, value.buckets.boundaries.length + 1])
  assert.ok(startTime[0] > 1.6e9 && endTime[0] >= startTime[0])
  const opened = exported.find(({ descriptor }) => descriptor.name === 'fastify.connections.opened') as any
  assert.deepEqual([opened.isMonotonic, opened.dataPoints[0].value], [true, 0])
})

interface Traced { app: FastifyInstance, port: number, release: () => void, span: (path: string) => ReadableSpan | undefined }

/** One slot, one place in the queue, and a handler that waits to be released. */
async function traced (t: TestContext): Promise<Traced> {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  t.after(() => provider.shutdown())
  const instrumentation = new FastifyOtelInstrumentation({ instrumentHooks: false })
  instrumentation.setTracerProvider(provider)
  const app = Fastify()
  t.after(() => app.close())
  await app.register(instrumentation.plugin())
  await app.register(metrics)
  await app.register(concurrency, { groups: { orders: { limit: 1, maxQueue: 1 } } })
  const { promise, resolve } = deferred()
  app.get('/:name', { config: { concurrency: 'orders' } }, async () => { await promise; return 'ok' })
  const span = (path: string) => exporter.getFinishedSpans().find(({ attributes }) => attributes['url.path'] === path)
  return { app, port: await listen(app), release: resolve, span }
}

test('@fastify/otel: the span of a queued and of a shed request carry the outcome, and a duration its trace', async t => {
  const { app, port, release, span } = await traced(t)
  const [running, queued, shed] = [await RawClient.connect(port), await RawClient.connect(port), await RawClient.connect(port)]
  running.get('/runs')
  await eventually(() => app.concurrency.stats('orders').inflight === 1, 'one runs')
  queued.get('/queued')
  await eventually(() => app.concurrency.stats('orders').queued === 1, 'one waits')
  assert.equal((await shed.get('/shed').reply()).status, 503)
  release()
  await running.reply()
  await queued.reply()
  for (const client of [running, queued, shed]) client.end()

  const attributesOf = (path: string) => Object.fromEntries(Object.entries(span(path)!.attributes).filter(([name]) => name.startsWith('fastify.admission.')))
  const { 'fastify.admission.queue_ms': wait, ...others } = attributesOf('/queued')
  assert.ok((wait as number) > 0)
  assert.deepEqual(others, { 'fastify.admission.outcome': 'admitted', 'fastify.admission.group': 'orders' })
  assert.deepEqual(attributesOf('/shed'), { 'fastify.admission.outcome': 'shed', 'fastify.admission.group': 'orders', 'fastify.admission.reason': 'queue_full', 'fastify.admission.queue_ms': 0 })
  assert.deepEqual(span('/shed')!.events.map(({ name, attributes }) => [name, attributes!['fastify.admission.code']]), [['admission.rejected', 'FST_SURGE_QUEUE_FULL']])
  assert.equal(attributesOf('/runs')['fastify.admission.queue_ms'], 0)
  assert.deepEqual(span('/runs')!.events, [])

  const { body } = await app.inject({ url: '/metrics', headers: { accept: 'application/openmetrics-text' } })
  assert.ok(body.includes(`# {trace_id="${span('/shed')!.spanContext().traceId}",span_id=`))
})

test('without @fastify/otel a span comes from `onSpan`', async t => {
  const seen: unknown[] = []
  const span = { setAttributes: (attributes: object) => { seen.push(attributes) }, addEvent: () => {} }
  await serving(t, { onSpan: request => request.url === '/' ? span : undefined })
  assert.deepEqual(seen, [{ 'fastify.admission.outcome': 'admitted', 'fastify.admission.queue_ms': 0 }])
})
