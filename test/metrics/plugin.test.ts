import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import cors from '@fastify/cors'
import Fastify, { type FastifyInstance } from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'
import deadline from '../../plugins/deadline/index.ts'
import metrics, { type MetricsOptions } from '../../plugins/metrics/index.ts'
import surge from '../../plugins/index.ts'
import type { Histogram } from '../../plugins/shared/histogram.ts'
import { instrumentsOf, type Labels } from '../../plugins/shared/instruments.ts'
import { deferred, eventually, listen, RawClient } from '../support/raw-http.ts'
import { unusedPort } from '../../cli/unused-port.ts'

function find (app: FastifyInstance, name: string, labels: Labels): number | Histogram | undefined {
  const points = app.surgeMetrics.snapshot().find(({ instrument }) => instrument.name === name)?.points ?? []
  return points.find(point => Object.entries(labels).every(([label, value]) => point.labels[label] === value))?.value
}

/** The value of one point, by name and those of its labels that are given; a histogram's count. */
function read (app: FastifyInstance, name: string, labels: Labels = {}): number | undefined {
  const value = find(app, name, labels)
  return typeof value === 'object' ? value.count : value
}

function requests (app: FastifyInstance, method: string, route: string | undefined, status: number | undefined): number | undefined {
  return read(app, 'http.server.request.duration', { 'http.request.method': method, 'http.route': route, 'http.response.status_code': status })
}

function active (app: FastifyInstance): number | undefined {
  return read(app, 'http.server.active_requests', { 'http.request.method': 'GET' })
}

async function measured (t: TestContext, options: MetricsOptions, routes: (app: FastifyInstance) => void | Promise<void>): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(metrics, options)
  await routes(app)
  return app
}

test('requests count by method, route and status: HEAD, 404s and failures too', async t => {
  const app = await measured(t, {}, app => {
    app.get('/items/:id', async request => request.params)
    app.get('/fails', async () => { throw new Error('no') })
  })
  for (const id of [1, 2, 3]) await app.inject(`/items/${id}`)
  await app.inject({ method: 'HEAD', url: '/items/4' })
  await app.inject('/fails')
  for (const path of ['/a', '/b', '/c']) await app.inject(path)
  assert.equal(requests(app, 'GET', '/items/:id', 200), 3)
  assert.equal(requests(app, 'HEAD', '/items/:id', 200), 1)
  assert.equal(requests(app, 'GET', '/fails', 500), 1)
  assert.equal(requests(app, 'GET', undefined, 404), 3)
  assert.equal(read(app, 'fastify.request.aborted'), undefined, 'inject() is no abort')
  assert.equal(active(app), 0)
})

test('what is answered ahead of the suite counts: a preflight, and a refusal by an auth that came first', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cors, { origin: 'https://shop.test' })
  app.addHook('onRequest', async (request, reply) => request.url === '/secret' ? reply.code(401).send() : undefined)
  await app.register(metrics)
  app.get('/secret', async () => 'x')
  await app.inject({ method: 'OPTIONS', url: '/secret', headers: { origin: 'https://shop.test', 'access-control-request-method': 'GET' } })
  await app.inject('/secret')
  assert.equal(requests(app, 'OPTIONS', '*', 204), 1)
  assert.equal(requests(app, 'GET', '/secret', 401), 1)
  assert.equal(active(app), 0)
  assert.equal(read(app, 'fastify.request.aborted'), undefined)
})

test('a snapshot stands still', async t => {
  const app = await measured(t, {}, app => { app.get('/', async () => 'ok') })
  await app.inject('/')
  const [{ points }] = app.surgeMetrics.snapshot().filter(({ instrument }) => instrument.name === 'http.server.request.duration') as [any]
  await app.inject('/')
  assert.equal(points[0].value.count, 1)
  assert.equal(requests(app, 'GET', '/', 200), 2)
})

test('methods that OpenTelemetry does not know are one, however many there are', async t => {
  const app = await measured(t, {}, app => {
    for (const method of ['PROPFIND', 'REPORT']) app.addHttpMethod(method)
    app.route({ method: ['PROPFIND', 'REPORT'], url: '/', handler: async () => 'ok' })
  })
  await app.inject({ method: 'PROPFIND' as 'GET', url: '/' })
  await app.inject({ method: 'REPORT' as 'GET', url: '/' })
  assert.equal(requests(app, '_OTHER', '/', 200), 2)
})

test('what is under way is active, and a client that leaves is an abort, with no status when there was none', async t => {
  const { promise, resolve } = deferred()
  const app = await measured(t, {}, app => {
    app.get('/slow', async () => { await promise; return 'late' })
    app.get('/half', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-length': '10' })
      reply.raw.write('half')
    })
  })
  const port = await listen(app)
  const slow = (await RawClient.connect(port)).get('/slow')
  await eventually(() => active(app) === 1, 'active')
  slow.reset()
  await eventually(() => read(app, 'fastify.request.aborted', { route: '/slow', phase: 'handler' }) === 1, 'aborted in the handler')
  assert.equal(requests(app, 'GET', '/slow', undefined), 1)
  assert.equal(active(app), 0)
  resolve()

  const half = (await RawClient.connect(port)).get('/half')
  await half.until(received => received.includes('half'))
  half.reset()
  await eventually(() => read(app, 'fastify.request.aborted', { route: '/half', phase: 'reply' }) === 1, 'aborted in the reply')
  assert.equal(requests(app, 'GET', '/half', 200), 1)
})

test('gates: what runs, waits, is shed and gone, and how long the wait was', async t => {
  const { promise, resolve } = deferred()
  const app = await measured(t, {}, async app => {
    await app.register(concurrency, { limit: 1, maxQueue: 1, groups: { other: { limit: 7 } } })
    app.get('/', async () => { await promise; return 'ok' })
  })
  const port = await listen(app)
  const [running, gone, shed] = [await RawClient.connect(port), await RawClient.connect(port), await RawClient.connect(port)]
  const group = 'default'
  running.get('/')
  await eventually(() => read(app, 'fastify.admission.inflight', { group }) === 1, 'one runs')
  gone.get('/')
  await eventually(() => read(app, 'fastify.admission.queue.depth', { group }) === 1, 'one waits')
  assert.equal((await shed.get('/').reply()).status, 503)
  gone.reset()
  await eventually(() => read(app, 'fastify.admission.requests', { group, outcome: 'gone' }) === 1, 'one is gone')
  shed.get('/')
  await eventually(() => read(app, 'fastify.admission.queue.depth', { group }) === 1, 'another one waits')
  resolve()
  assert.deepEqual([(await running.reply()).status, (await shed.reply()).status], [200, 200])
  await eventually(() => requests(app, 'GET', '/', 200) === 2, 'both ended')
  assert.equal(read(app, 'fastify.admission.requests', { group, outcome: 'admitted' }), 2)
  assert.equal(read(app, 'fastify.admission.requests', { group, reason: 'queue_full' }), 1)
  assert.equal(read(app, 'fastify.admission.queue.duration', { group, outcome: 'admitted' }), 1)
  assert.equal(read(app, 'fastify.admission.queue.duration', { group, outcome: 'gone' }), 1)
  assert.equal(read(app, 'fastify.admission.limit', { group: 'other' }), 7)
  assert.equal(read(app, 'fastify.refusals', { by: 'concurrency', reason: 'queue_full' }), 1)
  assert.equal(read(app, 'fastify.request.aborted', { phase: 'admission' }), 1)
  assert.equal(requests(app, 'GET', '/', 503), 1)
})

test('gates of a context below count as well, and one that is inherited counts once', async t => {
  const app = await measured(t, {}, async app => {
    await app.register(async child => {
      await child.register(concurrency, { limit: 3, groups: { below: { limit: 2 } } })
      await child.register(async () => {})
    })
    await app.register(async child => { await child.register(concurrency, { limit: 4 }) })
  })
  await app.ready()
  assert.equal(read(app, 'fastify.admission.limit', { group: 'below' }), 2)
  assert.equal(read(app, 'fastify.admission.limit', { group: 'default' }), 7)
})

test('a deadline is a refusal, and its request counts once', async t => {
  const app = await measured(t, {}, async app => {
    await app.register(deadline, { timeout: 20 })
    app.get('/', async () => await new Promise(() => {}))
  })
  const client = await RawClient.connect(await listen(app))
  assert.equal((await client.get('/').reply()).status, 503)
  await eventually(() => requests(app, 'GET', '/', 503) === 1, 'counted')
  assert.equal(read(app, 'fastify.refusals', { by: 'deadline' }), 1)
})

test('an upgrade counts as 101 at its hijack and is no abort', async t => {
  const app = await measured(t, {}, app => {
    app.get('/socket', (request, reply) => {
      reply.hijack()
      request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
    })
    app.server.on('upgrade', (request, socket) => {
      const response = new http.ServerResponse(request)
      response.assignSocket(socket as net.Socket)
      socket.resume().once('end', () => socket.destroy())
      app.routing(request, response)
    })
  })
  const client = await RawClient.connect(await listen(app))
  client.get('/socket', 'Connection: Upgrade\r\nUpgrade: test\r\n')
  await client.until(received => received.includes('101'))
  client.end()
  await eventually(() => requests(app, 'GET', '/socket', 101) === 1, 'counted')
  assert.equal(read(app, 'fastify.request.aborted'), undefined)
})

test('connections: open, opened, requests each, and the first one since accept', async t => {
  const app = await measured(t, {}, app => { app.get('/', async () => 'ok') })
  const client = await RawClient.connect(await listen(app))
  for (let i = 0; i < 3; i++) await client.get('/').reply()
  assert.equal(read(app, 'fastify.connections.open'), 1)
  client.end()
  await eventually(() => read(app, 'fastify.connections.open') === 0, 'closed')
  const carried = find(app, 'fastify.connection.requests', {}) as Histogram
  assert.deepEqual([carried.count, carried.sum], [1, 3])
  assert.equal(read(app, 'fastify.connections.opened'), 1)
  assert.equal(read(app, 'fastify.request.start_delay', { source: 'connection' }), 1)
  assert.equal(read(app, 'fastify.request.start_delay', { source: 'header' }), undefined)
})

test('connections past maxConnections are counted as dropped', async t => {
  const app = await measured(t, {}, () => {})
  app.server.maxConnections = 1
  const port = await listen(app)
  const first = await RawClient.connect(port)
  await (await RawClient.connect(port)).closed
  assert.equal(read(app, 'fastify.connections.dropped'), 1)
  first.end()
})

test('connections past the share of their address are dropped, and not opened', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(surge, { serverDefaults: { maxConnectionsPerIp: 1 } })
  const port = await listen(app)
  const first = await RawClient.connect(port)
  await (await RawClient.connect(port)).closed
  await eventually(() => read(app, 'fastify.connections.dropped') === 1, 'dropped')
  assert.deepEqual([read(app, 'fastify.connections.opened'), read(app, 'fastify.connections.open')], [1, 1])
  first.end()
})

test('the header of a proxy says how long a request has waited; off unless named', async t => {
  const header = () => ({ 'x-request-start': `t=${(Date.now() - 300) / 1000}` })
  const trusting = await measured(t, { startHeader: 'X-Request-Start' }, app => { app.get('/', async () => 'ok') })
  assert.equal((await fetch(`http://127.0.0.1:${await listen(trusting)}/`, { headers: header() })).status, 200)
  assert.ok((find(trusting, 'fastify.request.start_delay', { source: 'header' }) as Histogram).sum >= 0.299)
  const careful = await measured(t, {}, app => { app.get('/', async () => 'ok') })
  assert.equal((await fetch(`http://127.0.0.1:${await listen(careful)}/`, { headers: header() })).status, 200)
  assert.equal(read(careful, 'fastify.request.start_delay', { source: 'header' }), undefined)
})

test('Linux: connections that the kernel has and the process has not', { skip: process.platform !== 'linux' && 'reads /proc' }, async t => {
  const app = await measured(t, {}, () => {})
  await listen(app)
  assert.equal(read(app, 'fastify.accept_queue.length'), 0)
  assert.ok(read(app, 'fastify.accept_queue.overflows')! >= 0)
})

test('upstreams: response times, waits and errors, by the name that the app gives', async t => {
  const upstream = http.createServer((request, response) => { response.statusCode = request.url === '/bad' ? 500 : 200; response.end('ok') }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.after(() => { upstream.close(); upstream.closeAllConnections() })
  const { port } = upstream.address() as net.AddressInfo
  const dead = await unusedPort()
  const app = await measured(t, { upstreams: { [`http://127.0.0.1:${port}/`]: 'shop' } }, () => {})
  await app.ready()
  for (const path of ['/', '/', '/bad']) await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  await assert.rejects(fetch(`http://127.0.0.1:${dead}/`))
  assert.equal(read(app, 'fastify.upstream.request.duration', { upstream: 'shop', status_class: '2xx' }), 2)
  assert.equal(read(app, 'fastify.upstream.request.duration', { upstream: 'shop', status_class: '5xx' }), 1)
  assert.equal(read(app, 'fastify.upstream.wait.duration', { upstream: 'shop' }), 3)
  assert.equal(read(app, 'fastify.upstream.pending', { upstream: 'shop' }), 0)
  assert.equal(read(app, 'fastify.upstream.errors', { upstream: `http://127.0.0.1:${dead}`, error_type: 'ECONNREFUSED' }), 1)
  await app.close()
  await (await fetch(`http://127.0.0.1:${port}/`)).text()
  assert.equal(read(app, 'fastify.upstream.request.duration', { upstream: 'shop', status_class: '2xx' }), 2)
})

test('the endpoint answers in the format that is asked for, is not measured, and is collected once a second', async t => {
  const app = await measured(t, {}, app => { app.get('/', async () => 'ok') })
  let reads = 0
  instrumentsOf(app).add({ name: 'mine', type: 'gauge', help: 'Mine' }, add => add(++reads))
  await app.inject('/')
  const plain = await app.inject('/metrics')
  assert.match(plain.headers['content-type'] as string, /^text\/plain; version=0\.0\.4/)
  assert.match(plain.body, /^http_server_request_duration_seconds_count\{http_request_method="GET",http_route="\/",http_response_status_code="200"\} 1$/m)
  assert.equal((await app.inject('/metrics')).body, plain.body)
  assert.equal(reads, 1)
  const open = await app.inject({ url: '/metrics', headers: { accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2' } })
  assert.match(open.headers['content-type'] as string, /^application\/openmetrics-text/)
  assert.ok(open.body.endsWith('# EOF\n'))
  assert.equal(requests(app, 'GET', '/metrics', 200), undefined)
})

test('the endpoint answers HEAD, also where the app has no automatic HEAD routes', async t => {
  const app = Fastify({ exposeHeadRoutes: false })
  t.after(() => app.close())
  await app.register(metrics)
  const { statusCode, headers, body } = await app.inject({ method: 'HEAD', url: '/metrics' })
  assert.deepEqual([statusCode, body], [200, ''])
  assert.ok(Number(headers['content-length']) > 1_000)
})

test('the endpoint can be elsewhere or nowhere, and a taken path is named', async t => {
  assert.equal((await (await measured(t, { endpoint: false }, () => {})).inject('/metrics')).statusCode, 404)
  assert.equal((await (await measured(t, { endpoint: '/internal/metrics' }, () => {})).inject('/internal/metrics')).statusCode, 200)
  const app = Fastify()
  app.get('/metrics', async () => 'mine')
  await assert.rejects(async () => await app.register(metrics), { code: 'FST_SURGE_CLASH', message: /metrics/ })
  await assert.rejects(measured(t, {}, app => { app.get('/metrics', async () => 'mine') }), { code: 'FST_SURGE_CLASH' })
})

test('the app’s own hooks hold for the endpoint, so that it can be behind its auth', async t => {
  const app = Fastify()
  t.after(() => app.close())
  app.addHook('onRequest', async (_request, reply) => reply.code(401).send())
  await app.register(metrics)
  assert.equal((await app.inject('/metrics')).statusCode, 401)
})

test('the suite counts what every plugin refuses, and its probes not at all', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(surge, { rateLimit: { max: 1, timeWindow: 60_000 } })
  app.get('/', async () => 'ok')
  const statuses = []
  for (const path of ['/', '/', '/livez', '/livez']) statuses.push((await app.inject(path)).statusCode)
  assert.deepEqual(statuses, [200, 429, 200, 200])
  assert.equal(requests(app, 'GET', '/', 429), 1)
  assert.equal(read(app, 'fastify.refusals', { by: 'rate-limit', reason: 'rate_limited' }), 1)
  assert.equal(requests(app, 'GET', '/livez', 200), undefined)
})

test('two contexts share one store; different options are refused', async t => {
  const app = Fastify()
  t.after(() => app.close())
  for (const path of ['/a', '/b']) {
    await app.register(async child => {
      await child.register(metrics)
      child.get(path, async () => 'ok')
    })
  }
  await assert.rejects(async () => await app.register(async child => { await child.register(metrics, { endpoint: false }) }), { code: 'FST_SURGE_DUPLICATE' })
})

test('options that cannot be are boot errors that name the key', async () => {
  for (const [options, message] of [
    [{ endpoint: 'metrics' }, /metrics\.endpoint/],
    [{ page: '/metrics' }, /metrics\.page/],
    [{ page: { pth: '/surge' } }, /Did you mean `path`/],
    [{ upstreams: { 'api.test': 'x' } }, /metrics\.upstreams/],
    [{ onSpan: 5 }, /metrics\.onSpan/],
    [{ endpiont: false }, /Did you mean `endpoint`/]
  ] as const) {
    await assert.rejects(async () => await Fastify().register(metrics, options as any), { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('the page is off by default; on, its files come from the package and load nothing from elsewhere', async t => {
  assert.equal((await (await measured(t, {}, () => {})).inject('/surge')).statusCode, 404)
  const app = await measured(t, { page: { path: '/live', script: '/mine.js?a="b"' } }, () => {})
  const page = await app.inject('/live')
  assert.match(page.headers['content-security-policy'] as string, /default-src 'self'/)
  assert.ok(page.body.includes('data-script="/mine.js?a=&quot;b&quot;"'))
  const files = [...page.body.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, url]) => url!)
  assert.equal(files.length, 4)
  files.push('/live/chart.js')
  for (const file of files) assert.equal((await app.inject(file)).statusCode, 200, file)
  assert.deepEqual((await app.inject('/live/data?since=x')).json(), { moments: [] })
})

test('a protection is switched off and on again while the server runs; a key that is none is named', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(surge, { rateLimit: { max: 1, timeWindow: 60_000 } })
  app.get('/', async () => 'ok')
  const status = async () => (await app.inject('/')).statusCode
  assert.deepEqual([await status(), await status()], [200, 429])
  app.surge.switch('rateLimit', false)
  assert.deepEqual([await status(), app.surge.switches.rateLimit, app.surge.switches.concurrency], [200, false, true])
  app.surge.switch('rateLimit', true)
  assert.equal(await status(), 429)
  assert.throws(() => app.surge.switch('concurency', false), { code: 'FST_SURGE_BAD_OPTION', message: /Did you mean `concurrency`/ })
})

test('a decorator of the app\'s own that is called concurrency is no gate', async t => {
  const app = Fastify()
  t.after(() => app.close())
  app.decorate('concurrency', 8 as any)
  await app.register(metrics)
  assert.equal((await app.inject('/metrics')).statusCode, 200)
})
