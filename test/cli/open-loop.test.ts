// The generator against a real server: what it calls good, late or broken, and that it waits for nobody before it asks again.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { BROKEN, OpenLoop, TIMED_OUT, type Plan } from '../../cli/open-loop.ts'

async function serve (t: TestContext, listener: RequestListener): Promise<{ server: http.Server, port: number }> {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  t.after(() => { server.close().closeAllConnections() })
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

const plan = (port: number, given: Partial<Plan> = {}, target: object = {}): Plan => ({ target: { port, path: '/', ...target }, perSecond: 200, ms: 300, timeout: 10_000, seed: 1, ...given })

test('every request has its status, chunked and empty replies included, over connections that are kept', async t => {
  let turn = 0
  let connections = 0
  const { server, port } = await serve(t, (_request, response) => {
    const status = [200, 204, 404, 503][turn++ % 4]!
    response.writeHead(status)
    if (status === 200) response.write('in ')
    response.end(status === 204 ? undefined : 'pieces')
  })
  server.on('connection', () => { connections++ })
  const { status, due } = await new OpenLoop(plan(port)).run()
  assert.ok(due.length > 30)
  for (const code of [200, 204, 404, 503]) assert.ok(Math.abs(status.filter(one => one === code).length - due.length / 4) <= 1, `${code}`)
  assert.ok(connections < due.length / 2, `${connections} connections`)
})

test('the same seed is the same traffic', async t => {
  const { port } = await serve(t, (_request, response) => { response.end() })
  const [one, two, other] = [await new OpenLoop(plan(port)).run(), await new OpenLoop(plan(port)).run(), await new OpenLoop(plan(port, { seed: 2 })).run()]
  assert.deepEqual(one.due, two.due)
  assert.notDeepEqual(one.due, other.due)
})

test('a server that answers nobody is asked all the same, and every client gives up', async t => {
  let asked = 0
  const { port } = await serve(t, () => { asked++ })
  const { status, due, latency } = await new OpenLoop(plan(port, { timeout: 100 })).run()
  assert.equal(asked, due.length)
  assert.ok(status.every(code => code === TIMED_OUT))
  assert.ok(latency.every(ms => ms >= 100))
})

test('a reply that is cut is no good one, nor is a server that is gone', async t => {
  const { port } = await serve(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('half')
    setImmediate(() => response.destroy())
  })
  assert.ok((await new OpenLoop(plan(port)).run()).status.every(code => code === BROKEN))
  const { server, port: gone } = await serve(t, () => {})
  server.close()
  await once(server, 'close')
  assert.ok((await new OpenLoop(plan(gone)).run()).status.every(code => code === BROKEN))
})

test('an upgrade is no reply', async t => {
  const { server, port } = await serve(t, () => {})
  server.on('connection', socket => { socket.once('data', () => socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')) })
  assert.ok((await new OpenLoop(plan(port)).run()).status.every(code => code === BROKEN))
})

test('method, headers and body are sent', async t => {
  const seen = new Set<string>()
  const { port } = await serve(t, async (request, response) => {
    let body = ''
    for await (const data of request) body += data
    seen.add(`${request.method} ${request.url} ${request.headers['x-token']} ${body}`)
    response.end()
  })
  await new OpenLoop(plan(port, {}, { path: '/a?b', method: 'POST', headers: { 'x-token': 'secret' }, body: 'data' })).run()
  assert.deepEqual([...seen], ['POST /a?b secret data'])
})

test('a kept connection that the server closes as it is chosen costs no request', async t => {
  const answered = new WeakSet<object>()
  const { port } = await serve(t, (request, response) => {
    // The second request of a connection meets a server that has just closed it.
    if (answered.has(request.socket)) request.socket.resetAndDestroy()
    else {
      answered.add(request.socket)
      response.end()
    }
  })
  const { status } = await new OpenLoop(plan(port)).run()
  assert.ok(status.every(code => code === 200), `${status.filter(code => code !== 200).length} of ${status.length} lost`)
})
