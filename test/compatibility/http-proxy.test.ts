import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import proxy, { type FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyInstance } from 'fastify'
import { WebSocket, WebSocketServer } from 'ws'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const TEXT = JSON.stringify({ text: 'of the upstream '.repeat(200) })

interface Upstream { url: string, server: http.Server, requests: http.IncomingMessage[] }

/** A server that knows nothing of Fastify. */
async function upstream (t: TestContext, answer: (request: http.IncomingMessage, response: http.ServerResponse) => void): Promise<Upstream> {
  const requests: http.IncomingMessage[] = []
  const server = http.createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, requests }
}

function proxied (upstream: string, options: object = {}) {
  return async (app: FastifyInstance) => { await app.register(proxy, { upstream, prefix: '/up', ...options } as FastifyHttpProxyOptions) }
}

async function ask (port: number, path: string, { method = 'GET', headers = {}, body }: { method?: string, headers?: http.OutgoingHttpHeaders, body?: Buffer } = {}) {
  const request = http.request({ port, host: '127.0.0.1', path, method, headers, agent: false }).end(body)
  const [reply] = await once(request, 'response') as [http.IncomingMessage]
  return { status: reply.statusCode, headers: reply.headers, body: await buffer(reply) }
}

test('a compressed reply of the upstream passes byte by byte, with its tag; a plain one is compressed', async t => {
  const bytes = gzipSync(TEXT)
  const { url } = await upstream(t, (request, response) => {
    response.setHeader('content-type', 'application/json').setHeader('etag', '"of-the-upstream"')
    if (request.url === '/gzip') response.setHeader('content-encoding', 'gzip').end(bytes)
    else response.end(TEXT)
  })
  const { app, port, lines } = await serveBeside(t, { behind: proxied(url) })
  const passed = await ask(port, '/up/gzip', { headers: { 'accept-encoding': 'gzip' } })
  assert.deepEqual([passed.status, passed.headers['content-encoding'], passed.headers.etag, passed.headers['content-length']], [200, 'gzip', '"of-the-upstream"', String(bytes.length)])
  assert.deepEqual(passed.body, bytes)
  const encoded = await ask(port, '/up/plain', { headers: { 'accept-encoding': 'gzip' } })
  assert.deepEqual([encoded.headers['content-encoding'], encoded.headers.etag, encoded.headers.vary], ['gzip', 'W/"of-the-upstream"', 'accept-encoding'])
  assert.equal(gunzipSync(encoded.body).toString(), TEXT)
  const known = await ask(port, '/up/plain', { headers: { 'if-none-match': encoded.headers.etag } })
  assert.deepEqual([known.status, known.body.length], [304, 0])
  await atRest(app)
  assert.deepEqual(complaints(lines), [])
  await closesByItself(app)
})

test('a gzip request body reaches the upstream as it was sent', async t => {
  const { url } = await upstream(t, async (request, response) => {
    const body = await buffer(request)
    response.end(`${request.headers['content-encoding']} ${gunzipSync(body).length}`)
  })
  const { app, port } = await serveBeside(t, { behind: proxied(url) })
  const reply = await ask(port, '/up/in', { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: gzipSync(TEXT) })
  assert.deepEqual([reply.status, reply.body.toString()], [200, `gzip ${TEXT.length}`])
  await atRest(app)
})

test('a refusal of the upstream passes, Retry-After included, and without retryMethods is not tried again', async t => {
  const { url, requests } = await upstream(t, (_request, response) => response.writeHead(503, { 'retry-after': '7' }).end('busy'))
  const { port } = await serveBeside(t, { behind: proxied(url, { retryMethods: [] }) })
  const reply = await ask(port, '/up/busy')
  assert.deepEqual([reply.status, reply.headers['retry-after'], reply.body.toString()], [503, '7', 'busy'])
  assert.equal(requests.length, 1)
})

test('a client that leaves while the upstream works frees its slot at orphanTimeout: @fastify/reply-from never says that it is done', async t => {
  const gate = deferred()
  const { url, requests } = await upstream(t, async (_request, response) => { await gate.promise; response.end('late') })
  const { app, port } = await serveBeside(t, { options: { concurrency: { orphanTimeout: 100 } }, behind: proxied(url) })
  const client = (await RawClient.connect(port)).get('/up/slow')
  await eventually(() => requests.length === 1, 'asked')
  client.reset()
  await eventually(() => app.concurrency.stats().orphans === 1, 'an orphan')
  gate.resolve()
  await atRest(app)
})

test('a request that is shed never reaches the upstream', async t => {
  const gate = deferred()
  const { url, requests } = await upstream(t, async (_request, response) => { await gate.promise; response.end('held') })
  const { app, port } = await serveBeside(t, {
    options: { concurrency: { groups: { upstream: { limit: 1, maxQueue: 0 } } }, routes: { '/up/*': { concurrency: 'upstream' } } },
    behind: proxied(url)
  })
  const holder = ask(port, '/up/one')
  await eventually(() => requests.length === 1, 'asked')
  const shed = await ask(port, '/up/two', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: Buffer.from('x') })
  assert.deepEqual([shed.status, JSON.parse(shed.body.toString()).code], [503, 'FST_SURGE_QUEUE_FULL'])
  gate.resolve()
  assert.equal((await holder).body.toString(), 'held')
  assert.equal(requests.length, 1)
  await atRest(app)
})

test('a proxied WebSocket gives its slot back at once and ends with close()', async t => {
  const { url, server } = await upstream(t, (_request, response) => response.end())
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', socket => socket.on('message', message => socket.send(`echo ${message}`)))
  const { app, port } = await serveBeside(t, { options: { concurrency: { limit: 1, maxQueue: 0 } }, behind: proxied(url, { websocket: true }) })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/up/socket`)
  await once(socket, 'open')
  await atRest(app)
  socket.send('hello')
  assert.equal(String((await once(socket, 'message'))[0]), 'echo hello')
  const ended = once(socket, 'close')
  await closesByItself(app)
  await ended
})
