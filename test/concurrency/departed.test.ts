// Clients that leave before their reply has begun: the slot is the handler's until its work is done, however it ends, and comes
// back then, not at `orphanTimeout`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import concurrency, { type ConcurrencyOptions } from '../../plugins/concurrency/index.ts'
import deadline from '../../plugins/deadline/index.ts'
import { RawClient, deferred, eventually, listen } from '../support/raw-http.ts'

interface Served { app: FastifyInstance, port: number }

async function serve (t: TestContext, options: ConcurrencyOptions, routes: (app: FastifyInstance) => void, before?: (app: FastifyInstance) => void): Promise<Served> {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  before?.(app)
  await app.register(concurrency, options)
  routes(app)
  return { app, port: await listen(app) }
}

function stats ({ app }: Served): { inflight: number, orphans: number } {
  const { inflight, orphans } = app.concurrency.stats()
  return { inflight, orphans }
}

async function clientsOf ({ port }: Served, paths: string[]): Promise<{ leave: () => void }> {
  const clients: RawClient[] = []
  for (const path of paths) clients.push((await RawClient.connect(port)).get(path))
  return { leave: () => { for (const client of clients) client.reset() } }
}

async function streamsOf ({ port }: Served, paths: string[]): Promise<{ leave: () => void }> {
  const session = http2.connect(`http://127.0.0.1:${port}`).on('error', () => {})
  for (const path of paths) session.request({ ':path': path }).on('error', () => {})
  return { leave: () => session.destroy() }
}

/** Sends each request and leaves while it is at work. */
async function leave (served: Served, requests: string[], atWork = requests.length): Promise<void> {
  const clients: RawClient[] = []
  for (const request of requests) clients.push((await RawClient.connect(served.port)).send(`${request} HTTP/1.1\r\nHost: test\r\n\r\n`))
  await eventually(() => stats(served).inflight === atWork, 'all at work')
  for (const client of clients) client.reset()
  await eventually(() => stats(served).orphans === atWork, 'all orphans')
}

test('a handler that resolves with nothing for a client that has left gives its slot back: Fastify sends nothing of it', async t => {
  const gate = deferred()
  const handler = async (): Promise<void> => { await gate.promise }
  const served = await serve(t, { limit: 10 }, app => {
    app.delete('/', handler)
    app.get('/', handler)
    app.get('/204', async (_request, reply) => { await gate.promise; reply.code(204) })
    app.setNotFoundHandler(handler)
  }, app => { app.delete('/before', handler) })
  await leave(served, ['DELETE /', 'GET /', 'HEAD /', 'GET /204', 'GET /nowhere', 'DELETE /before'])
  gate.resolve()
  await eventually(() => stats(served).inflight === 0, 'every slot is back')
})

test('a handler that waits for its own reply is at work until it sends it, although that wait ends with the client', async t => {
  const gate = deferred()
  const sent = deferred()
  async function handler (_request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    gate.promise.then(() => { reply.send('by callback') }).then(sent.resolve, assert.ifError)
    return reply
  }
  const served = await serve(t, { limit: 10 }, app => {
    app.get('/', handler)
    app.register(async child => { child.get('/inside', handler) })
    app.get('/sync', (request, reply) => { handler(request, reply).catch(assert.ifError); return reply })
  })
  await leave(served, ['GET /', 'GET /inside', 'GET /sync'])
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(stats(served), { inflight: 3, orphans: 3 })
  gate.resolve()
  await eventually(() => stats(served).inflight === 0, 'every slot is back')
})

test('the body and the handler of a client that has left in a hook are not begun, and its slot comes back with the hook', async t => {
  const hook = deferred()
  let began = 0
  const handler = async (): Promise<string> => { began++; return 'for nobody' }
  const served = await serve(t, { limit: 10 }, app => {
    app.post('/onRequest', { onRequest: () => hook.promise }, handler)
    app.get('/onRequest', { onRequest: () => hook.promise }, handler)
    app.post('/preParsing', { preParsing: async () => { await hook.promise } }, handler)
    app.get('/preHandler', { preHandler: () => hook.promise }, handler)
  })
  const body = '{"a":1}'
  const clients: RawClient[] = []
  for (const path of ['/onRequest', '/preParsing']) clients.push((await RawClient.connect(served.port)).post(path, body))
  for (const path of ['/onRequest', '/preHandler']) clients.push((await RawClient.connect(served.port)).get(path))
  await eventually(() => stats(served).inflight === 4, 'all in their hooks')
  for (const client of clients) client.reset()
  await eventually(() => stats(served).orphans === 4, 'all orphans')
  hook.resolve()
  await eventually(() => stats(served).inflight === 0, 'every slot is back')
  assert.equal(began, 0)
})

test('a slot that comes back with a connection is not handed to a request that waits on it', async t => {
  let ran = 0
  const served = await serve(t, { limit: 1, maxWait: 60_000 }, app => {
    app.get('/slow', (_request, reply) => reply.send('x'.repeat(20e6)))
    app.get('/', async () => { ran++; return 'for nobody' })
    app.post('/', async () => { ran++; return 'for nobody' })
  })
  for (const kind of ['get', 'post'] as const) {
    const client = await RawClient.connect(served.port)
    client.socket.pause()
    client.get('/slow')
    if (kind === 'get') client.get('/')
    else client.post('/', '{}')
    await eventually(() => served.app.concurrency.stats().queued === 1, 'it waits for the slot of the reply before it')
    client.reset()
    await eventually(() => stats(served).inflight === 0, 'the slot is back')
  }
  assert.equal(ran, 0)
})

test('HTTP/2: a reset with NO_ERROR, which is what stream.close() sends, gives the slot back and lets close() end', async () => {
  const app = Fastify({ http2: true } as object) as unknown as FastifyInstance
  await app.register(concurrency, { limit: 10 })
  app.get('/whole', async () => 'x'.repeat(500_000))
  app.get('/stream', async () => Readable.from(function * () { for (;;) yield 'x'.repeat(1_000) }()))
  app.post('/body', (_request, reply) => reply.send('x'.repeat(500_000)))
  const served = { app, port: await listen(app) }
  const session = http2.connect(`http://127.0.0.1:${served.port}`).on('error', () => {})
  const options = [{ ':path': '/whole' }, { ':path': '/stream' }, { ':path': '/body', ':method': 'POST', 'content-type': 'application/json' }]
  for (const headers of options) {
    const stream = session.request(headers).on('error', () => {})
    if (headers[':path'] === '/body') stream.end('{}')
    await once(stream, 'response')
    stream.close()
  }
  await eventually(() => stats(served).inflight === 0, 'every slot is back')
  session.destroy()
  await app.close()
})

test('HTTP/2: a stream that the server itself closes is still written to its end', async t => {
  const app = Fastify({ http2: true } as object) as unknown as FastifyInstance
  t.after(() => app.close())
  await app.register(concurrency, { limit: 10 })
  app.get('/', (request, reply) => {
    reply.raw.end('x'.repeat(500_000))
    ;(request.raw as any).stream.close()
  })
  const session = http2.connect(`http://127.0.0.1:${await listen(app)}`)
  let received = 0
  const stream = session.request({ ':path': '/' }).on('data', data => { received += data.length })
  await once(stream, 'close')
  session.destroy()
  assert.equal(received, 500_000)
})

for (const http of [1, 2]) {
  test(`HTTP/${http}: a reply by hand, or a hijacked one, that begins when its client has left gives the slot back`, async t => {
    const gate = deferred()
    const app = Fastify({ http2: http === 2 } as object) as unknown as FastifyInstance
    t.after(() => app.close())
    await app.register(concurrency, { limit: 10 })
    app.get('/end', (_request, reply) => { gate.promise.then(() => { reply.raw.end('late') }, assert.ifError) })
    app.get('/write', (_request, reply) => { gate.promise.then(() => { reply.raw.write('late') }, assert.ifError) })
    app.get('/head', (_request, reply) => { gate.promise.then(() => { reply.raw.writeHead(200) }, assert.ifError) })
    app.get('/hijack', (_request, reply) => { gate.promise.then(() => { reply.hijack() }, assert.ifError) })
    const served = { app, port: await listen(app) }
    const paths = ['/end', '/write', '/head', '/hijack']
    const { leave } = http === 1 ? await clientsOf(served, paths) : await streamsOf(served, paths)
    await eventually(() => stats(served).inflight === 4, 'all at work')
    leave()
    await eventually(() => stats(served).orphans === 4, 'all orphans')
    gate.resolve()
    await eventually(() => stats(served).inflight === 0, 'every slot is back')
  })
}

test('a handler that has failed is at work for as long as the error handler of the app is', async t => {
  const gate = deferred()
  const served = await serve(t, { limit: 10 }, app => {
    app.setErrorHandler(async () => { await gate.promise; return 'failed' })
    app.get('/', async () => { throw new Error('failed') })
  })
  await leave(served, ['GET /'])
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(stats(served).orphans, 1)
  gate.resolve()
  await eventually(() => stats(served).inflight === 0, 'the slot is back')
})

for (const [kind, answersNothing] of [['at once', () => {}], ['later', async () => { await new Promise(resolve => setImmediate(resolve)) }]] as const) {
  test(`an error handler that answers nothing to a client that has left, ${kind}, gives the slot back`, async t => {
    const gate = deferred()
    const served = await serve(t, { limit: 10, orphanTimeout: 3_600_000 }, app => {
      app.setErrorHandler((_error, request, reply) => request.raw.destroyed ? answersNothing() : reply.code(500).send('failed'))
      app.get('/', async () => { await gate.promise; throw new Error('given up') })
      app.get('/callback', (_request, reply) => { gate.promise.then(() => reply.send(new Error('given up')), assert.ifError) })
    })
    await leave(served, ['GET /', 'GET /callback'])
    gate.resolve()
    await eventually(() => stats(served).inflight === 0, 'the slots are back')
  })
}

test('a query that a handler returns, and that runs at its then(), does not run again for a client that has left', async t => {
  const gate = deferred()
  let ran = 0
  const served = await serve(t, { limit: 10 }, app => {
    app.get('/', () => ({ then (resolve: (rows: string) => void) { ran++; gate.promise.then(() => resolve('rows'), assert.ifError) } }))
  })
  await leave(served, ['GET /'])
  gate.resolve()
  await eventually(() => stats(served).inflight === 0, 'the slot is back')
  assert.equal(ran, 1)
})

test('behind its deadline, a handler that resolves with nothing is late as well, and one that waits for its reply is not yet', async t => {
  const gate = deferred()
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(deadline, { timeout: 30 })
  await app.register(concurrency, { limit: 10 })
  const work = deferred()
  app.delete('/', async () => { await gate.promise })
  app.get('/', async (_request, reply) => { work.promise.then(() => { reply.send('by callback') }).catch(assert.ifError); return reply })
  const port = await listen(app)
  for (const request of ['DELETE', 'GET']) {
    const client = (await RawClient.connect(port)).send(`${request} / HTTP/1.1\r\nHost: test\r\n\r\n`)
    assert.equal((await client.reply()).status, 503)
  }
  await eventually(() => app.concurrency.stats().orphans === 2, 'two orphans')
  gate.resolve()
  await eventually(() => app.concurrency.stats().orphans === 1, 'one of them is done')
  assert.equal(app.deadline.stats().late, 1)
  work.resolve()
  await eventually(() => app.concurrency.stats().inflight === 0, 'both slots are back')
  assert.equal(app.deadline.stats().late, 2)
})

test('in a dry run, the claim of a client that has left does not wait on', async t => {
  const gate = deferred()
  const served = await serve(t, { limit: 1, maxWait: 60_000, dryRun: true }, app => {
    app.get('/slow', async () => { await gate.promise; return 'done' })
    app.get('/hang', () => new Promise(() => {}))
  })
  const { app, port } = served
  const slow = (await RawClient.connect(port)).get('/slow')
  await eventually(() => stats(served).inflight === 1, 'the slot is taken')
  const hanging = (await RawClient.connect(port)).get('/hang')
  await eventually(() => app.concurrency.stats().queued === 1, 'its claim waits')
  hanging.reset()
  await eventually(() => app.concurrency.stats().queued === 0, 'its claim is gone')
  gate.resolve()
  assert.equal((await slow.reply()).body, 'done')
  await eventually(() => stats(served).inflight === 0, 'no slot is taken')
  assert.equal(app.concurrency.stats().admitted, 1)
})

test('what a route tells of its handler, and whose `this` that is, stays', async t => {
  let seen: unknown[] = []
  const { port } = await serve(t, {}, app => {
    app.decorate('mine', 'mine')
    app.get('/', function named (this: any, request, reply) {
      const { handler } = request.routeOptions as unknown as { handler: () => void }
      seen = [this.mine, handler.name, handler.length]
      reply.send('ok')
    })
  })
  await (await RawClient.connect(port)).get('/').reply()
  assert.deepEqual(seen, ['mine', 'bound named', 2])
})

test('HTTP/2: what is left of a body is read to its end behind the reply', async t => {
  const app = Fastify({ http2: true })
  await app.register(concurrency)
  app.addContentTypeParser('x/y', (_request: unknown, payload: unknown, done: (error: null, body: unknown) => void) => done(null, payload))
  const counted = deferred<number>()
  app.post('/', (request, reply) => {
    let bytes = 0
    const body = request.body as Readable
    body.on('data', chunk => {
      bytes += chunk.length
      body.pause()
      setTimeout(() => body.resume(), 5)
    })
    body.on('end', () => counted.resolve(bytes))
    reply.code(202).send({})
  })
  const client = http2.connect(`http://127.0.0.1:${await listen(app as unknown as FastifyInstance)}`)
  t.after(() => {
    // The server would wait for it.
    client.destroy()
    return app.close()
  })
  const stream = client.request({ ':method': 'POST', ':path': '/', 'content-type': 'x/y' })
  stream.resume().end(Buffer.alloc(400_000))
  assert.equal(await counted.promise, 400_000)
})
