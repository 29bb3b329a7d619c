// What hangs on the way to a reply: a hook, a handler, the hooks behind it, a client that sends slowly. The deadline
// answers for each, and nothing is begun after it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import concurrency, { type ConcurrencyOptions } from '../../plugins/concurrency/index.ts'
import deadline, { type DeadlineOptions } from '../../plugins/deadline/index.ts'
import serverDefaults from '../../plugins/server-defaults/index.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

interface Served { app: FastifyInstance, port: number, lines: string[] }

async function serve (t: TestContext, options: DeadlineOptions, routes: (app: FastifyInstance) => void, gate: ConcurrencyOptions = {}, server: object = { forceCloseConnections: true }): Promise<Served> {
  const lines: string[] = []
  const app = Fastify({ ...server, logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } } as FastifyServerOptions)
  t.after(() => app.close())
  await app.register(deadline, options)
  await app.register(concurrency, gate)
  routes(app)
  return { app, port: await listen(app), lines }
}

test('a hook that hangs is answered for; when it goes on no handler begins, and its slot is back', async t => {
  const gate = deferred()
  let began = 0
  const hang = async (): Promise<void> => { await gate.promise }
  const fail = async (): Promise<void> => { await gate.promise; throw new Error('late') }
  const count = async (): Promise<void> => { began++ }
  const handler = async (): Promise<string> => { began++; return 'late' }
  const { app, port, lines } = await serve(t, { timeout: 40 }, app => {
    app.get('/onRequest', { onRequest: hang, preHandler: count }, handler)
    app.get('/preHandler', { preHandler: hang }, handler)
    app.get('/done', { preHandler: (_request, _reply, done) => { gate.promise.then(() => done()) } }, handler)
    app.get('/fails', { preHandler: fail }, handler)
    app.post('/preParsing', { preParsing: hang, preValidation: count }, handler)
    app.post('/preValidation', { preValidation: hang, preHandler: count }, handler)
    app.get('/preSerialization', { preSerialization: async (_request, _reply, payload) => { await gate.promise; return payload } }, async () => ({}))
    app.get('/', async () => 'next')
  })
  const clients: RawClient[] = []
  for (const path of ['/onRequest', '/preHandler', '/done', '/fails', '/preSerialization']) clients.push((await RawClient.connect(port)).get(path))
  for (const path of ['/preParsing', '/preValidation']) clients.push((await RawClient.connect(port)).post(path, '{}'))
  for (const client of clients) {
    const { status, body } = await client.reply()
    assert.deepEqual([status, JSON.parse(body).code], [503, 'FST_SURGE_DEADLINE'])
  }
  await eventually(() => app.concurrency.stats().orphans === clients.length, 'all of them are at work still')
  gate.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'every slot is back')
  assert.deepEqual([began, app.deadline.stats()], [0, { running: 0, exceeded: 7, late: 7 }])
  for (const client of clients) assert.equal((await client.get('/').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
})

test('an onSend hook that hangs does not hold the answer of the deadline up', async t => {
  const gate = deferred()
  const { app, port, lines } = await serve(t, { timeout: 40 }, app => {
    app.get('/', { onSend: async (_request, _reply, payload) => { await gate.promise; return payload } }, async () => ({ late: true }))
    app.get('/next', async () => 'next')
  })
  const client = (await RawClient.connect(port)).get('/')
  assert.equal(JSON.parse((await client.reply()).body).code, 'FST_SURGE_DEADLINE')
  await eventually(() => app.concurrency.stats().inflight === 0, 'its slot is back')
  gate.resolve()
  assert.equal((await client.get('/next').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
})

test('an onSend hook that fails on the answer of the deadline does not keep it from the client', async t => {
  const gate = deferred()
  let errors = 0
  const { app, port, lines } = await serve(t, { timeout: 40 }, app => {
    app.addHook('onError', async () => { errors++ })
    app.addHook('onSend', async (request, reply, payload) => {
      if (request.url === '/next') return payload
      reply.header('content-encoding', 'gzip').header('x-mine', 'stays')
      throw new Error('the session store is down')
    })
    app.get('/', async () => { await gate.promise; return 'late' })
    app.get('/next', async () => 'next')
  })
  const client = (await RawClient.connect(port)).get('/')
  const { status, headers, body } = await client.reply()
  assert.deepEqual([status, JSON.parse(body).code, headers['content-encoding'], headers['x-mine']], [503, 'FST_SURGE_DEADLINE', undefined, 'stays'])
  assert.deepEqual([app.concurrency.stats().orphans, app.deadline.stats().late, errors], [1, 0, 1])
  gate.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'its slot is back')
  assert.equal(app.deadline.stats().late, 1)
  assert.equal((await client.get('/next').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused') && !line.includes('the session store is down')), [])
})

for (const ahead of [true, false]) {
  test(`an onSend hook ${ahead ? 'ahead of' : 'behind'} the suite that hangs on the answer of the deadline too, or on one of the gate, holds neither up for long`, async t => {
    const [hook, work] = [deferred(), deferred()]
    const lines: string[] = []
    const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
    t.after(() => app.close())
    const hang = async (request: FastifyRequest): Promise<void> => { if (request.url !== '/next') await hook.promise }
    if (ahead) app.addHook('onSend', hang)
    await app.register(deadline, { timeout: 40 })
    await app.register(concurrency, { groups: { one: { limit: 1, maxQueue: 0 } } })
    if (!ahead) app.addHook('onSend', hang)
    app.get('/', { config: { concurrency: 'one' } }, async () => { await work.promise; return 'late' })
    app.get('/quick', { config: { concurrency: false } }, async () => 'quick')
    app.get('/next', async () => 'next')
    const port = await listen(app)
    const clients = [(await RawClient.connect(port)).get('/')]
    await eventually(() => app.concurrency.stats('one').inflight === 1, 'at work')
    for (const path of ['/', '/quick']) clients.push((await RawClient.connect(port)).get(path))
    const codes: string[] = []
    for (const client of clients) codes.push(JSON.parse((await client.reply()).body).code)
    assert.deepEqual(codes, ['FST_SURGE_DEADLINE', 'FST_SURGE_QUEUE_FULL', 'FST_SURGE_DEADLINE'])
    hook.resolve()
    for (const client of clients) assert.equal((await client.get('/next').reply()).body, 'next')
    assert.equal(app.concurrency.stats('one').orphans, 1)
    work.resolve()
    await eventually(() => app.concurrency.stats('one').inflight === 0, 'its slot is back')
    assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
  })
}

test('a handler that hijacks too late is heard by nobody, and gives its slot back when it ends its reply', async t => {
  const gate = deferred()
  const { app, port, lines } = await serve(t, { timeout: 40 }, app => {
    app.get('/', async (_request, reply) => {
      await gate.promise
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/plain' }).write('late')
      reply.raw.end()
    })
    app.get('/next', async () => 'next')
  })
  const client = (await RawClient.connect(port)).get('/')
  assert.equal((await client.reply()).status, 503)
  await eventually(() => app.concurrency.stats().orphans === 1, 'an orphan')
  gate.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'its slot is back')
  assert.equal((await client.get('/next').reply()).body, 'next')
  assert.deepEqual(lines.filter(line => !line.includes('refused')), [])
})

test('of the reply that a handler had in mind nothing is on the answer in its place', async t => {
  const { port } = await serve(t, { timeout: 40 }, app => {
    app.get('/', (_request, reply) => {
      reply.headers({ 'content-encoding': 'gzip', etag: '"mine"', 'content-length': 5, 'last-modified': new Date().toUTCString(), 'x-mine': 'stays' })
      reply.raw.setHeader('Content-Disposition', 'attachment')
    })
  })
  const { status, headers, body } = await (await RawClient.connect(port)).get('/').reply()
  assert.equal(status, 503)
  for (const name of ['content-encoding', 'etag', 'last-modified', 'content-disposition']) assert.equal(headers[name], undefined, name)
  assert.deepEqual([headers['content-length'], headers['x-mine'], JSON.parse(body).code], [String(body.length), 'stays', 'FST_SURGE_DEADLINE'])
})

test('the time of a POST in the queue counts, although its body is read behind it', async t => {
  const gate = deferred()
  const { app, port } = await serve(t, { timeout: 5_000 }, app => {
    app.get('/hold', async () => { await gate.promise; return 'held' })
    app.post('/', async request => request.deadline.remaining())
  }, { limit: 1, maxQueue: 5, maxWait: 5_000 })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const began = performance.now()
  const queued = (await RawClient.connect(port)).post('/', '{}')
  await eventually(() => app.concurrency.stats().queued === 1, 'queued')
  const waits = performance.now()
  while (performance.now() < waits + 100) await new Promise(resolve => setImmediate(resolve))
  gate.resolve()
  await holder.reply()
  const left = Number((await queued.reply()).body)
  assert.ok(left <= 4_900 && left >= 5_000 - (performance.now() - began), String(left))
})

test('what the deadline answered for in the waiting room takes no slot and no token while its answer is on its way', async t => {
  const [gate, hook] = [deferred(), deferred()]
  const { app, port } = await serve(t, { timeout: false }, app => {
    app.addHook('onSend', async request => { if (request.url === '/over') await hook.promise })
    app.get('/hold', async () => { await gate.promise; return 'held' })
    app.get('/over', { config: { deadline: 40 } }, async () => 'never')
    app.get('/next', async () => 'next')
  }, { limit: 1, maxWait: 60_000 })
  const holder = (await RawClient.connect(port)).get('/hold')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const over = (await RawClient.connect(port)).get('/over')
  await eventually(() => app.deadline.stats().exceeded === 1, 'over')
  assert.deepEqual([app.concurrency.stats().queued, app.concurrency.stats().gone], [0, 1])
  gate.resolve()
  assert.equal((await holder.reply()).body, 'held')
  assert.equal((await (await RawClient.connect(port)).get('/next').reply()).body, 'next')
  hook.resolve()
  assert.equal(JSON.parse((await over.reply()).body).code, 'FST_SURGE_DEADLINE')
  assert.equal(app.concurrency.stats().admitted, 2)
})

test('HTTP/2: it stands still while a body of unknown length comes in', async t => {
  const { port } = await serve(t, { timeout: 200 }, app => {
    // It counts the bytes of streams as well.
    app.register(serverDefaults)
    app.post('/', async request => ({ left: request.deadline.remaining() }))
  }, {}, { http2: true })
  const client = http2.connect(`http://127.0.0.1:${port}`)
  const request = client.request({ ':method': 'POST', ':path': '/', 'content-type': 'application/json' })
  const response = once(request, 'response')
  for (const byte of '{"a":1}') {
    await new Promise(resolve => setTimeout(resolve, 60))
    request.write(byte)
  }
  request.end()
  const [{ ':status': status }] = await response
  client.destroy()
  assert.equal(status, 200)
})

test('HTTP/2: a body that does not move is over, however busy the other streams of its session are', async t => {
  const { port } = await serve(t, { timeout: 100 }, app => {
    app.post('/', async () => 'never')
    app.get('/', async () => 'other')
  }, {}, { http2: true })
  const client = http2.connect(`http://127.0.0.1:${port}`)
  const stalled = client.request({ ':method': 'POST', ':path': '/', 'content-type': 'application/json', 'content-length': 100 })
  const response = once(stalled, 'response', { signal: AbortSignal.timeout(5_000) })
  stalled.write('{')
  function keepBusy (): void {
    if (!client.destroyed) client.request({ ':path': '/' }).on('error', () => {}).on('close', keepBusy).resume()
  }
  keepBusy()
  const [{ ':status': status }] = await response.finally(() => client.destroy())
  assert.equal(status, 503)
})

/** RFC 9113 section 4.1. */
function frame (type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.set([type, flags], 3)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** RFC 7541: literals without a name that is indexed. */
function fields (pairs: Record<string, string>): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  return Buffer.concat(Object.entries(pairs).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

test('HTTP/2: no second answer behind the 408 for a slow body that cannot get through to its client', async t => {
  const { app, port } = await serve(t, { timeout: 400 }, app => {
    app.register(serverDefaults, { minBodyRate: { bytesPerSecond: 1_000, grace: 50 }, checkInterval: 20 })
    app.post('/', async request => request.body)
    app.get('/big', async () => Buffer.alloc(30e6))
  }, {}, { http2: true })
  const opened: ServerHttp2Stream[] = []
  app.server.prependListener('stream', (stream: ServerHttp2Stream) => opened.push(stream))
  const client = await RawClient.connect(port)
  client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const request = { ':scheme': 'http', ':authority': 'test' }
  // Windows as wide as can be: nothing but the socket, from which it does not read, holds the server up.
  client.send(frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])))
  client.send(frame(8, 0, 0, Buffer.from([0x7f, 0xfe, 0, 0])))
  client.send(frame(1, 4, 1, fields({ ...request, ':method': 'POST', ':path': '/', 'content-type': 'text/plain' })))
  client.send(frame(0, 0, 1, Buffer.from('abc')))
  await eventually(() => opened.length === 1, 'the POST is there')
  client.socket.pause()
  client.send(frame(1, 5, 3, fields({ ...request, ':method': 'GET', ':path': '/big' })))
  await eventually(() => opened[0]!.headersSent, 'it is answered 408')
  await eventually(() => app.deadline.stats().running === 0, 'its deadline has passed')
  client.reset()
  await eventually(() => app.concurrency.stats().inflight === 0, 'its slot is back')
})

test('a body that nobody reads holds no deadline off: of a GET, or of a method that was added without one', async t => {
  const { port } = await serve(t, { timeout: 100 }, app => {
    app.addHttpMethod('PURGE')
    app.addHttpMethod('PROPFIND', { hasBody: true })
    app.get('/hang', () => new Promise(() => {}))
    app.route({ method: 'PURGE', url: '/hang', handler: () => new Promise(() => {}) })
    app.get('/', { config: { deadline: 60_000 } }, async request => {
      const before = request.deadline.remaining()
      await new Promise(resolve => setTimeout(resolve, 5))
      return before - request.deadline.remaining()
    })
    app.route({ method: 'PROPFIND', url: '/', handler: async request => request.body })
  })
  for (const method of ['GET', 'PURGE']) {
    const client = (await RawClient.connect(port)).send(`${method} /hang HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n`)
    const dribble = setInterval(() => client.send('x'), 5)
    t.after(() => clearInterval(dribble))
    assert.equal((await client.reply()).status, 503, method)
    clearInterval(dribble)
  }
  const whole = (await RawClient.connect(port)).send('GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab')
  assert.ok(Number((await whole.reply()).body) > 0)
  const slow = (await RawClient.connect(port)).send('PROPFIND / HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n')
  for (const byte of '{"a":"b"}') {
    await new Promise(resolve => setTimeout(resolve, 30))
    slow.send(byte)
  }
  assert.equal((await slow.reply()).body, '{"a":"b"}')
})

test('requests of one connection whose bodies come in behind the answer leave no listener on it', async t => {
  const sockets = new Set<Socket>()
  const { port } = await serve(t, { timeout: 20 }, app => {
    app.addHook('onRequest', async request => { sockets.add(request.raw.socket) })
    app.post('/', async () => 'never')
    app.get('/', async () => 'next')
  })
  const client = await RawClient.connect(port)
  for (let i = 0; i < 12; i++) {
    client.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a":')
    assert.equal((await client.reply()).status, 503)
    client.send('1 }')
  }
  assert.equal((await client.get('/').reply()).body, 'next')
  const [socket] = sockets
  assert.equal(sockets.size, 1)
  assert.ok(socket!.listenerCount('close') < 5, String(socket!.listenerCount('close')))
})

test('a hook ahead of the suite finds no deadline yet', async t => {
  const app = Fastify()
  t.after(() => app.close())
  app.addHook('onRequest', async request => {
    assert.deepEqual([request.deadline.remaining(), request.deadline.signal.aborted], [Infinity, false])
  })
  await app.register(deadline, { timeout: 1_000 })
  app.get('/', async request => request.deadline.remaining() <= 1_000)
  assert.equal((await app.inject('/')).body, 'true')
})
