// HTTP/2 counts as HTTP/1 does: what a client resets is an abort, and a connection carried as many requests as it had streams.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import deadline from '../../plugins/deadline/index.ts'
import metrics from '../../plugins/metrics/index.ts'
import { counted } from '../support/counted.ts'
import { deferred, eventually } from '../support/raw-http.ts'

async function serve (t: TestContext, routes: (app: FastifyInstance) => void): Promise<{ app: FastifyInstance, session: http2.ClientHttp2Session }> {
  const app = Fastify({ http2: true } as any) as unknown as FastifyInstance
  await app.register(metrics)
  await app.register(deadline)
  routes(app)
  const session = http2.connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.after(async () => {
    session.destroy()
    await app.close()
  })
  return { app, session }
}

async function ask (session: http2.ClientHttp2Session, method: string, path: string): Promise<number> {
  const stream = session.request({ ':method': method, ':path': path })
  const [headers] = await once(stream, 'response')
  await once(stream.resume(), 'close')
  return headers[':status']
}

const DURATION = 'http.server.request.duration http.request.method='

test('replies by status, no abort among them, and the requests of a connection', async t => {
  const { app, session } = await serve(t, app => { app.get('/', async () => 'ok') })
  for (const [method, path, status] of [['GET', '/', 200], ['HEAD', '/', 200], ['GET', '/none', 404]] as const) assert.equal(await ask(session, method, path), status)
  const requests = counted(app, 'http.server')
  assert.equal(requests[`${DURATION}GET http.route=/ http.response.status_code=200`], 1)
  assert.equal(requests[`${DURATION}HEAD http.route=/ http.response.status_code=200`], 1)
  assert.equal(requests['http.server.active_requests http.request.method=GET'], 0)
  assert.deepEqual(counted(app, 'fastify.request.aborted'), {})
  assert.equal(counted(app, 'fastify.request.start_delay')['fastify.request.start_delay source=connection'], 1)
  session.close()
  await eventually(() => counted(app, 'fastify.connection.requests')['fastify.connection.requests'] === 1, 'closed')
  const [{ points }] = app.surgeMetrics.snapshot().filter(({ instrument }) => instrument.name === 'fastify.connection.requests') as [any]
  assert.equal(points[0].value.sum, 3)
})

test('a stream that is reset is an abort, by how far it was, and aborts the signal of its deadline', async t => {
  const { promise, resolve } = deferred()
  let signal: AbortSignal | undefined
  const { app, session } = await serve(t, app => {
    app.get('/slow', async request => {
      signal = request.deadline.signal
      await promise
      return 'late'
    })
    app.get('/half', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200)
      reply.raw.write('half')
    })
  })
  const slow = session.request({ ':path': '/slow' }).on('error', () => {})
  await eventually(() => signal !== undefined, 'in the handler')
  slow.close(http2.constants.NGHTTP2_CANCEL)
  const half = session.request({ ':path': '/half' }).on('error', () => {})
  await once(half, 'response')
  half.close(http2.constants.NGHTTP2_CANCEL)
  const aborted = () => counted(app, 'fastify.request.aborted')
  await eventually(() => Object.keys(aborted()).length === 2, 'two aborts')
  assert.deepEqual(aborted(), { 'fastify.request.aborted route=/slow phase=handler': 1, 'fastify.request.aborted route=/half phase=reply': 1 })
  assert.equal(signal!.aborted, true)
  resolve()
})

test('what inject() has answered is no abort', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(metrics)
  await app.register(deadline)
  let signal: AbortSignal | undefined
  app.get('/', async request => {
    signal = request.deadline.signal
    return 'ok'
  })
  for (const [method, url] of [['GET', '/'], ['HEAD', '/'], ['GET', '/none']] as const) await app.inject({ method, url })
  assert.deepEqual(counted(app, 'fastify.request.aborted'), {})
  assert.equal(signal!.aborted, false)
})
