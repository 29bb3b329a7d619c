import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import { Profile } from 'pprof-format'
import concurrency from '../../plugins/concurrency/index.ts'
import profiling, { type ProfilingOptions } from '../../plugins/profiling/index.ts'
import { deferred, eventually, listen, RawClient } from '../support/raw-http.ts'

async function profiled (t: TestContext, options: ProfilingOptions = {}, routes: (app: FastifyInstance) => void | Promise<void> = () => {}): Promise<{ app: FastifyInstance, port: number }> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(profiling, options)
  await routes(app)
  return { app, port: await listen(app) }
}

function get (port: number, path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/debug/pprof${path}`, { headers: { connection: 'close', ...headers } })
}

function read (bytes: ArrayBuffer): { types: string[], functions: string[] } {
  const profile = Profile.decode(gunzipSync(Buffer.from(bytes)))
  const { strings } = profile.stringTable
  return { types: profile.sampleType.map(({ type }) => strings[Number(type)]!), functions: profile.function.map(({ name }) => strings[Number(name)]!) }
}

const kept: unknown[] = []
function spinHot (times: number): number {
  let sum = 0
  for (let i = 0; i < times; i++) sum += Math.sqrt(i % 1000)
  return sum
}
function hoard (): void {
  for (let i = 0; i < 50_000; i++) kept.push({ i, list: [i, i] })
}

// fails without unfoldInlined() on Node 22 and later: its caller is named.
test('a CPU profile names the function that takes the time, also one that V8 has inlined, and no idle time', { skip: process.env.NODE_V8_COVERAGE !== undefined && 'coverage has V8 inline as before' }, async t => {
  const { port } = await profiled(t)
  const busy = setInterval(spinHot, 5, 3e6)
  // Hot, and optimised, before anybody profiles.
  let calls = 0
  await new Promise<void>(resolve => {
    const counting = setInterval(() => {
      if (++calls < 20) return
      clearInterval(counting)
      resolve()
    }, 5)
  })
  const taken = get(port, '/profile?seconds=0.4')
  const reply = await taken
  clearInterval(busy)
  const { types, functions } = read(await reply.arrayBuffer())
  assert.equal(reply.headers.get('cache-control'), 'no-store')
  assert.deepEqual(types, ['samples', 'cpu'])
  assert.ok(functions.includes('spinHot'), functions.join())
  assert.ok(!functions.includes('(idle)') && !functions.includes('(root)'), functions.join())
})

for (const [path, types] of [['/heap', ['samples', 'inuse_space']], ['/allocs', ['samples', 'alloc_space']]] as const) {
  test(`${path} names the function that allocates`, async t => {
    const { port } = await profiled(t)
    const taken = get(port, `${path}?seconds=0.3`)
    const busy = setInterval(hoard, 20)
    const profile = read(await (await taken).arrayBuffer())
    clearInterval(busy)
    kept.length = 0
    assert.deepEqual(profile.types, types)
    assert.ok(profile.functions.includes('hoard'))
  })
}

test('one at a time, and none that nobody waits for: a second is 409 until the client of the first leaves', async t => {
  const { port } = await profiled(t)
  const local = await RawClient.connect(port)
  local.send('GET /debug/pprof/profile?seconds=30 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  let status = 0
  const end = performance.now() + 5_000
  while (status !== 409 && performance.now() < end) status = (await get(port, '/heap?seconds=0.01')).status
  assert.equal(status, 409)
  local.end()
  while (status !== 200 && performance.now() < end) status = (await get(port, '/heap?seconds=0.01')).status
  assert.equal(status, 200)
})

test('close() does not wait for a profile', async t => {
  const { app, port } = await profiled(t)
  const taken = get(port, '/profile?seconds=30')
  let status = 0
  while (status !== 409) status = (await get(port, '/heap?seconds=0.01')).status
  await app.close()
  assert.equal((await taken).status, 200)
})

test('`seconds` is above 0 and 30 at most', async t => {
  const { port } = await profiled(t)
  for (const seconds of ['0', '31', 'x', '-1']) assert.equal((await get(port, `/profile?seconds=${seconds}`)).status, 400)
})

test('what is in flight: id, route, age and phase, and no request that is over', async t => {
  const { promise, resolve } = deferred()
  const { app, port } = await profiled(t, {}, async app => {
    await app.register(concurrency, { limit: 1 })
    app.get('/slow/:id', async () => { await promise; return 'ok' })
  })
  const [running, waiting] = [await RawClient.connect(port), await RawClient.connect(port)]
  running.get('/slow/1')
  await eventually(() => app.concurrency.stats().inflight === 1, 'one runs')
  waiting.get('/slow/2')
  await eventually(() => app.concurrency.stats().queued === 1, 'one waits')
  const list = async () => (await (await get(port, '/inflight')).json() as any)
  const { requests, resources } = await list()
  assert.deepEqual(requests.map(({ method, route, phase }: any) => [method, route, phase]), [['GET', '/slow/:id', 'handler'], ['GET', '/slow/:id', 'admission']])
  assert.ok(requests.every(({ id, age }: any) => typeof id === 'string' && age >= 0))
  assert.ok(resources.TCPServerWrap >= 1)
  running.reset()
  await eventually(() => app.concurrency.stats().orphans === 1, 'an orphan')
  assert.equal((await list()).requests[0].phase, 'orphan')
  resolve()
  assert.equal((await waiting.reply()).status, 200)
  assert.deepEqual((await list()).requests, [])
  waiting.end()
})

test('without `authorize` only for clients of this host that mean this host', async t => {
  const { port } = await profiled(t)
  assert.equal((await get(port, '/inflight')).status, 200)
  assert.equal((await get(port, '/inflight', { 'x-forwarded-for': '127.0.0.1' })).status, 403)
  const rebound = await RawClient.connect(port)
  const reply = await rebound.send('GET /debug/pprof/inflight HTTP/1.1\r\nHost: evil.test\r\n\r\n').reply()
  rebound.end()
  assert.deepEqual([reply.status, JSON.parse(reply.body).code], [403, 'FST_SURGE_PROFILING_DENIED'])
})

test('without `authorize` for nobody when a listener is not bound to a loopback address', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(profiling)
  await app.listen({ port: 0, host: '0.0.0.0' })
  assert.equal((await get((app.server.address() as { port: number }).port, '/inflight')).status, 403)
})

test('`authorize` decides, and only true is yes', async t => {
  const { port } = await profiled(t, { authorize: async request => request.headers.token as any })
  assert.equal((await get(port, '/inflight')).status, 403)
  assert.equal((await get(port, '/inflight', { token: 'truthy' })).status, 403)
  const open = await profiled(t, { authorize: () => true })
  assert.equal((await get(open.port, '/inflight', { 'x-forwarded-for': '1.2.3.4' })).status, 200)
})

test('heap snapshots are opt-in', async t => {
  assert.equal((await get((await profiled(t)).port, '/heapsnapshot')).status, 404)
  const reply = await get((await profiled(t, { heapSnapshot: true })).port, '/heapsnapshot')
  assert.match((await reply.text()).slice(0, 40), /^\{"snapshot"/)
})

test('a heap snapshot is one of those that are taken one at a time, and its end lets the next one', async t => {
  const { port } = await profiled(t, { heapSnapshot: true })
  const local = await RawClient.connect(port)
  local.send('GET /debug/pprof/heapsnapshot HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await local.until(received => received.includes('200 OK'))
  local.socket.pause()
  assert.equal((await get(port, '/heapsnapshot')).status, 409)
  local.reset()
  let status = 409
  const end = performance.now() + 5_000
  while (status === 409 && performance.now() < end) status = (await get(port, '/heap?seconds=0.01')).status
  assert.equal(status, 200)
})

test('nothing is taken for a client that left while `authorize` was at work', async t => {
  const { promise, resolve } = deferred()
  let asked = 0
  let closed = 0
  const { port } = await profiled(t, { authorize: async request => { asked++; if (request.headers.late !== undefined) await promise; return true } }, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.raw.once('close', () => { closed++ }) })
  })
  const local = await RawClient.connect(port)
  local.send('GET /debug/pprof/profile?seconds=30 HTTP/1.1\r\nHost: localhost\r\nLate: 1\r\n\r\n')
  await eventually(() => asked === 1, 'asked')
  local.reset()
  await eventually(() => closed === 1, 'gone')
  resolve()
  assert.equal((await get(port, '/heap?seconds=0.01')).status, 200)
})
