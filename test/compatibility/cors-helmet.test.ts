import assert from 'node:assert/strict'
import { test } from 'node:test'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import { RawClient, deferred, eventually, type RawReply } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const ORIGIN = 'Origin: https://shop.test\r\n'
const PREFLIGHT = `OPTIONS / HTTP/1.1\r\nHost: test\r\n${ORIGIN}Access-Control-Request-Method: GET\r\n\r\n`

async function corsAndHelmet (app: FastifyInstance): Promise<void> {
  await app.register(cors, { origin: ['https://shop.test'], credentials: true, exposedHeaders: ['Retry-After'] })
  await app.register(helmet)
}

function carriesBoth ({ headers }: RawReply): void {
  assert.equal(headers['access-control-allow-origin'], 'https://shop.test')
  assert.equal(headers['access-control-expose-headers'], 'Retry-After')
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.ok(headers['content-security-policy'])
  assert.match(headers.vary!, /^Origin\b/)
}

test('registered first, @fastify/cors and helmet are on every refusal, so that a browser can read its Retry-After', async t => {
  const gate = deferred()
  const { app, port, lines } = await serveBeside(t, {
    before: corsAndHelmet,
    options: { concurrency: { limit: 1, maxQueue: 0 }, rateLimit: { max: 3, timeWindow: '1 minute' } },
    behind: app => {
      app.get('/', async () => { await gate.promise; return 'held' })
      app.get('/late', { config: { deadline: 20, concurrency: false } }, () => new Promise(() => {}))
    }
  })
  const holder = (await RawClient.connect(port)).get('/', ORIGIN)
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  const refusals = [await client.get('/', ORIGIN).reply(), await client.get('/late', ORIGIN).reply(), await client.get('/', ORIGIN).reply()]
  assert.deepEqual(refusals.map(({ status, body }) => [status, JSON.parse(body).code]), [
    [503, 'FST_SURGE_QUEUE_FULL'], [503, 'FST_SURGE_DEADLINE'], [429, 'FST_SURGE_RATE_LIMITED']
  ])
  refusals.forEach(carriesBoth)
  gate.resolve()
  carriesBoth(await holder.reply())
  await atRest(app)
  assert.deepEqual(complaints(lines).filter(msg => !msg.startsWith('refused')), [])
})

test('Vary names both origin and coding, on a 304 too', async t => {
  const { port } = await serveBeside(t, { before: corsAndHelmet, behind: app => { app.get('/', async () => 'x'.repeat(2_000)) } })
  const client = await RawClient.connect(port)
  const full = await client.get('/', `${ORIGIN}Accept-Encoding: gzip\r\n`).reply()
  assert.deepEqual([full.status, full.headers['content-encoding'], full.headers.vary], [200, 'gzip', 'Origin, accept-encoding'])
  const known = await client.get('/', `${ORIGIN}Accept-Encoding: gzip\r\nIf-None-Match: ${full.headers.etag}\r\n`).reply()
  assert.deepEqual([known.status, known.body, known.headers.vary], [304, '', 'Origin, accept-encoding'])
  carriesBoth(full)
  carriesBoth(known)
})

test('a preflight is answered ahead of quota and gate, and its kept-alive connection does not hold close() up', async t => {
  const { app, port } = await serveBeside(t, {
    before: corsAndHelmet,
    options: { rateLimit: { max: 1, timeWindow: '1 minute' } },
    behind: app => { app.get('/', async () => 'ok') }
  })
  const client = await RawClient.connect(port)
  for (let i = 0; i < 3; i++) assert.equal((await client.send(PREFLIGHT).reply()).status, 204)
  assert.equal((await client.get('/', ORIGIN).reply()).status, 200)
  const preflight = await client.send(PREFLIGHT).reply()
  assert.deepEqual([preflight.status, preflight.headers.connection], [204, 'keep-alive'])
  assert.equal(app.concurrency.stats().admitted, 1)
  await closesByItself(app)
  await client.closed
})

test('a preflight that comes while the server drains is answered, and ends its connection', async t => {
  const { app, port } = await serveBeside(t, { before: corsAndHelmet, behind: app => { app.get('/', async () => 'ok') } })
  await app.lifecycle.drain()
  const client = (await RawClient.connect(port)).send(PREFLIGHT)
  const preflight = await client.reply()
  assert.deepEqual([preflight.status, preflight.headers.connection], [204, 'close'])
  await client.closed
})
