// What a Redis may do to its clients: stop, die, come back, refuse to write, forget the script. Every request is answered
// by the policy of its route, none hangs, and the counts go on where they were. How long each waits is told by
// `npm run bench:rate-limit -- --store`.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import rateLimit from '../../plugins/rate-limit/index.ts'
import { RedisServer, skip } from './redis-server.ts'

/** Enough for a server that is well on a machine that is busy: who is answered locally by mistake is not who these tests ask about. */
const STORE_TIMEOUT = 250

interface Running { server: RedisServer, admin: Redis, app: FastifyInstance, lines: any[] }

/** Ten requests an hour on each of three routes, one for each policy; four servers share the quotas. The clients have their default settings. */
async function start (t: TestContext, kind: 'ioredis' | 'node-redis' = 'ioredis'): Promise<Running> {
  const server = await RedisServer.start(t)
  const connect = () => {
    const client = new Redis(server.port, '127.0.0.1')
    client.on('error', () => {})
    t.after(() => client.disconnect())
    return client
  }
  let redis: unknown
  if (kind === 'ioredis') redis = connect()
  else {
    const client = createClient({ url: `redis://127.0.0.1:${server.port}` })
    client.on('error', () => {})
    await client.connect()
    t.after(() => client.destroy())
    redis = client
  }
  const lines: any[] = []
  const logger: FastifyServerOptions['logger'] = { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const app = Fastify({ logger, disableRequestLogging: true })
  t.after(() => app.close())
  await app.register(rateLimit, { redis, max: 10, timeWindow: '1 hour', storeTimeout: STORE_TIMEOUT, instances: 4 })
  for (const onStoreError of ['local', 'open', 'closed'] as const) {
    app.get(`/${onStoreError}`, { config: { rateLimit: { onStoreError } } }, async () => 'ok')
  }
  await app.ready()
  // The first answers of a fresh process and client take longer than any later one.
  for (let tries = 0; tries < 20; tries++) await app.quota.peek({ key: 'warm' }).catch(() => {})
  return { server, admin: connect(), app, lines }
}

async function get (app: FastifyInstance, url: string): Promise<{ status: number, remaining: string | undefined }> {
  const { statusCode, headers } = await app.inject(url)
  return { status: statusCode, remaining: headers['x-ratelimit-remaining'] as string | undefined }
}

/** While the store is down: each policy does what it says, at once but for those that found it out. */
async function assertPolicies (app: FastifyInstance): Promise<void> {
  for (let i = 0; i < 3; i++) assert.equal((await get(app, '/closed')).status, 503)
  assert.equal(app.quota.stats().up, false)
  const refused = await app.inject('/closed')
  assert.equal(refused.json().code, 'FST_SURGE_QUOTA_UNAVAILABLE')
  assert.match(refused.headers['retry-after'] as string, /^\d+$/)
  // A quarter of ten, as there are four servers; one of these may be the probe, which is answered the same.
  const local = []
  for (let i = 0; i < 3; i++) local.push((await get(app, '/local')).status)
  assert.deepEqual(local, [200, 200, 429])
  for (let i = 0; i < 12; i++) assert.deepEqual((({ status, remaining }) => [status, remaining])(await get(app, '/open')), [200, undefined])
}

async function recovered (app: FastifyInstance, url = '/open'): Promise<void> {
  const end = performance.now() + 20_000
  while (!app.quota.stats().up) {
    if (performance.now() > end) throw new Error('the store was never asked again')
    await app.inject(url)
  }
}

function assertLoggedOnce (lines: any[]): void {
  assert.equal(lines.filter(({ msg }) => /store of the rate limit fails/.test(msg)).length, 1)
  assert.equal(lines.filter(({ msg }) => /^the store of the rate limit answers again/.test(msg)).length, 1)
}

for (const kind of ['ioredis', 'node-redis'] as const) {
  test(`${kind}: SIGSTOP and SIGCONT`, { skip }, async t => {
    const { server, app, lines } = await start(t, kind)
    assert.equal((await get(app, '/local')).remaining, '9')
    server.pause()
    await assertPolicies(app)
    server.resume()
    await recovered(app)
    const { status, remaining } = await get(app, '/local')
    assert.deepEqual([status, remaining], [200, '8'], 'the shared count goes on where it was')
    assertLoggedOnce(lines)
  })

  test(`${kind}: killed, and started again without the script`, { skip }, async t => {
    const { server, app, lines } = await start(t, kind)
    assert.equal((await get(app, '/local')).remaining, '9')
    await server.kill()
    await assertPolicies(app)
    await server.restart()
    await recovered(app)
    const { status, remaining } = await get(app, '/local')
    assert.equal(status, 200)
    assert.equal(remaining, '9')
    assertLoggedOnce(lines)
  })
}

test('READONLY: the server became a replica', { skip }, async t => {
  const { admin, app, lines } = await start(t)
  assert.equal((await get(app, '/local')).remaining, '9')
  await admin.replicaof('127.0.0.1', '1')
  await assertPolicies(app)
  await admin.replicaof('NO', 'ONE')
  await recovered(app)
  assert.equal((await get(app, '/local')).remaining, '8')
  assertLoggedOnce(lines)
})

test('OOM: the server may take no more memory', { skip }, async t => {
  const { admin, app, lines } = await start(t)
  assert.equal((await get(app, '/local')).remaining, '9')
  await admin.config('SET', 'maxmemory', '1')
  await assertPolicies(app)
  await admin.config('SET', 'maxmemory', '0')
  await recovered(app)
  assert.equal((await get(app, '/local')).remaining, '8')
  assertLoggedOnce(lines)
})

test('SCRIPT FLUSH: no request notices', { skip }, async t => {
  const { admin, app } = await start(t)
  assert.equal((await get(app, '/closed')).remaining, '9')
  await admin.script('FLUSH')
  assert.equal((await get(app, '/closed')).remaining, '8')
  assert.equal((await get(app, '/closed')).remaining, '7')
  const { up, failed } = app.quota.stats()
  assert.deepEqual({ up, failed }, { up: true, failed: 0 })
})

test('SCRIPT FLUSH under many requests at once: each of them counts once', { skip }, async t => {
  const { admin, app } = await start(t)
  const flushes = [admin.script('FLUSH')]
  const answers: Promise<{ statusCode: number }>[] = []
  for (let i = 0; i < 12; i++) {
    answers.push(app.inject('/closed'))
    if (i % 3 === 0) flushes.push(admin.script('FLUSH'))
    await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(flushes)
  const statuses = (await Promise.all(answers)).map(({ statusCode }) => statusCode)
  assert.deepEqual(statuses.filter(status => status === 200).length, 10, String(statuses))
  assert.deepEqual(statuses.filter(status => status === 429).length, 2, String(statuses))
})

test('app.quota: local while the store is down, else it says so', { skip }, async t => {
  const { server, app } = await start(t)
  server.pause()
  for (let i = 0; i < 3; i++) await app.inject('/open')
  assert.equal((await app.quota.charge({ key: 'x', route: 'GET /local' }, 1))!.remaining, 1)
  await assert.rejects(app.quota.charge({ key: 'x', route: 'GET /open' }, 1), /store of the rate limit is down/)
})
