// Streams over real sockets: the cap on contexts, aborts, slow readers.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import zlib from 'node:zlib'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import compression, { type CompressionOptions } from '../../plugins/compression/index.ts'
import { eventually, listen } from '../support/raw-http.ts'

/** A zlib whose contexts can be counted. */
function countingZlib () {
  const contexts: zlib.Gzip[] = []
  const counting = {
    ...zlib,
    createGzip: (options: any) => {
      const context = zlib.createGzip(options)
      contexts.push(context)
      return context
    }
  }
  return { contexts, zlib: counting, open: () => contexts.filter(context => !context.destroyed).length }
}

async function serve (t: TestContext, options: CompressionOptions, routes: (app: FastifyInstance) => void): Promise<number> {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(compression, options)
  routes(app)
  return listen(app)
}

async function get (port: number, path: string, headers: Record<string, string> = { 'accept-encoding': 'gzip' }): Promise<IncomingMessage> {
  const request = http.get({ port, path, headers, agent: false })
  const [reply] = await once(request, 'response') as [IncomingMessage]
  reply.on('error', () => {})
  return reply
}

async function read (reply: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Bytes that do not compress, without end, and how many of them were taken. */
function endless () {
  const chunk = randomBytes(64 * 1024)
  const source = { taken: 0, stream: new Readable({ read () { source.taken += chunk.length; this.push(chunk) } }) }
  return source
}

test('paused gzip readers fill the cap; the next reply is plain and not an error', async t => {
  const counting = countingZlib()
  const sources: Array<ReturnType<typeof endless>> = []
  const port = await serve(t, { maxContexts: 2, zlib: counting.zlib }, app => {
    app.get('/endless', (_request, reply) => {
      const source = endless()
      sources.push(source)
      reply.type('text/plain').header('etag', '"v1"').send(source.stream)
    })
    app.get('/short', (_request, reply) => { reply.type('text/plain').send(Readable.from(['short '.repeat(500)])) })
    app.get('/large', async () => 'large '.repeat(5000))
  })
  const paused = [await get(port, '/endless'), await get(port, '/endless')]
  for (const reply of paused) {
    assert.equal(reply.headers['content-encoding'], 'gzip')
    assert.equal(reply.headers.etag, 'W/"v1"')
  }
  const third = await get(port, '/endless')
  assert.equal(third.statusCode, 200)
  assert.equal(third.headers['content-encoding'], undefined)
  assert.equal(third.headers.etag, '"v1"')
  assert.equal(third.headers.vary, 'accept-encoding')
  third.destroy()
  assert.equal((await read(await get(port, '/short'))).toString(), 'short '.repeat(500))
  assert.equal((await read(await get(port, '/large'))).toString(), 'large '.repeat(5000), 'a large body needs a context as well')
  assert.equal(counting.open(), 2)

  // Nobody reads: the sources stand still once the buffers on the way are full.
  let taken = 0
  let turnsAtRest = 0
  await eventually(() => {
    const before = taken
    taken = sources[0]!.taken + sources[1]!.taken
    turnsAtRest = taken === before ? turnsAtRest + 1 : 0
    return taken > 0 && turnsAtRest > 2000
  }, 'sources stand still')
  assert.ok(taken < 64 * 1024 * 1024, `${taken} bytes were taken for readers that read nothing`)

  for (const reply of paused) reply.destroy()
  await eventually(() => counting.open() === 0, 'contexts closed')
  await eventually(() => sources.every(({ stream }) => stream.destroyed), 'sources closed')
  const after = await get(port, '/short')
  assert.equal(after.headers['content-encoding'], 'gzip', 'the places are free again')
  assert.equal(zlib.gunzipSync(await read(after)).toString(), 'short '.repeat(500))
})

test('an aborted reply closes its context and its source at once, not at the next garbage collection', async t => {
  const counting = countingZlib()
  const sources: Array<ReturnType<typeof endless>> = []
  const port = await serve(t, { maxContexts: 1, zlib: counting.zlib }, app => {
    app.get('/', (_request, reply) => {
      const source = endless()
      sources.push(source)
      reply.type('text/plain').compress(source.stream)
    })
  })
  for (let i = 1; i <= 5; i++) {
    const reply = await get(port, '/')
    assert.equal(reply.headers['content-encoding'], 'gzip', `abort ${i} gave its place back`)
    await once(reply, 'data')
    reply.destroy()
    await eventually(() => counting.open() === 0 && sources.length === i && sources.every(({ stream }) => stream.destroyed), 'closed')
  }
  assert.equal(counting.contexts.length, 5)
})

test('places come back after every ending: complete, empty, failed at once, failed later', async t => {
  const counting = countingZlib()
  const port = await serve(t, { maxContexts: 1, zlib: counting.zlib }, app => {
    const bodies: Record<string, (head: () => boolean) => Readable> = {
      complete: () => Readable.from(['done '.repeat(5000)]),
      empty: () => Readable.from([]),
      'at-once': () => new Readable({ read () { this.destroy(new Error('at once')) } }),
      later: sent => Readable.from((async function * () {
        yield randomBytes(200_000)
        await eventually(sent, 'first bytes sent')
        throw new Error('later')
      })())
    }
    app.get('/:body', (request, reply) => { reply.type('text/plain').send(bodies[(request.params as { body: string }).body]!(() => reply.raw.headersSent)) })
  })
  for (const body of ['complete', 'empty', 'at-once', 'later', 'complete', 'later', 'empty', 'complete']) {
    const reply = await get(port, `/${body}`)
    assert.equal(reply.headers['content-encoding'], body === 'at-once' ? undefined : 'gzip', body)
    const bytes = await read(reply).catch(() => undefined)
    if (body === 'complete') assert.equal(zlib.gunzipSync(bytes!).toString(), 'done '.repeat(5000))
    if (body === 'empty') assert.equal(zlib.gunzipSync(bytes!).length, 0)
    if (body === 'at-once') assert.equal(reply.statusCode, 500)
    if (body === 'later') assert.equal(bytes, undefined, 'a reply that broke off does not look complete')
    await eventually(() => counting.open() === 0, `closed after ${body}`)
  }
})

test('a client that left costs no compression', async t => {
  let encoded = 0
  const replies: FastifyReply[] = []
  const spy = { ...zlib, gzipSync: (body: any, options: any) => { if (body.length > 0) encoded++; return zlib.gzipSync(body, options) } }
  const port = await serve(t, { zlib: spy }, app => { app.get('/', (_request, reply) => { replies.push(reply) }) })
  for (const stays of [false, true]) {
    const before = encoded
    const request = http.get({ port, path: '/', headers: { 'accept-encoding': 'gzip' }, agent: false })
    request.on('error', () => {})
    await eventually(() => replies.length === 1, 'the handler runs')
    const reply = replies.pop()!
    if (!stays) {
      request.destroy()
      await eventually(() => reply.raw.destroyed, 'the server knows')
    }
    reply.send('text '.repeat(500))
    assert.equal(encoded - before, stays ? 1 : 0)
    request.destroy()
  }
})

test('maxContexts: 0 leaves streams plain', async t => {
  const port = await serve(t, { maxContexts: 0 }, app => { app.get('/', (_request, reply) => { reply.type('text/plain').send(Readable.from(['text '.repeat(500)])) }) })
  const reply = await get(port, '/')
  assert.equal(reply.headers['content-encoding'], undefined)
  assert.equal((await read(reply)).toString(), 'text '.repeat(500))
})

test('keep-alive goes on behind a 304, an encoded reply and a HEAD', async t => {
  const port = await serve(t, {}, app => { app.get('/', async () => 'text '.repeat(500)) })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const sockets = new Set()
  for (const [method, headers, status] of [['GET', { 'accept-encoding': 'gzip' }, 200], ['GET', { 'if-none-match': '*' }, 304], ['HEAD', { 'accept-encoding': 'gzip' }, 200], ['HEAD', { 'if-none-match': '*' }, 304], ['GET', {}, 200]] as const) {
    const request = http.request({ port, agent, method, headers })
    request.end()
    const [reply] = await once(request, 'response') as [IncomingMessage]
    assert.equal(reply.statusCode, status)
    sockets.add(request.socket)
    await read(reply)
  }
  assert.equal(sockets.size, 1)
})
