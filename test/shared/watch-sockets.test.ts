import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { watchSockets } from '../../plugins/shared/watch-sockets.ts'
import { RawClient, eventually } from '../support/raw-http.ts'

async function serve (t: TestContext): Promise<{ server: http.Server, port: number }> {
  const server = http.createServer((_request, response) => response.end('ok'))
  t.after(() => { server.close().closeAllConnections() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

test('each end is told once, to each watcher, whoever ends the connection and however', async t => {
  const { server, port } = await serve(t)
  const open = [new Set<Socket>(), new Set<Socket>()]
  let ends = 0
  for (const sockets of open) watchSockets(server, 'connection', socket => sockets.add(socket), socket => { ends++; assert.ok(sockets.delete(socket)) })
  const clients: RawClient[] = []
  for (let i = 0; i < 4; i++) clients.push(await RawClient.connect(port))
  await eventually(() => open.every(sockets => sockets.size === 4), 'all are told of')
  await clients[0]!.get('/', 'Connection: close\r\n').reply()
  clients[1]!.end()
  clients[2]!.reset()
  await clients[3]!.get('/').reply()
  await eventually(() => open.every(sockets => sockets.size === 1), 'three have ended')
  const [last] = open[0]!
  last!.destroy()
  last!.destroy()
  await clients[3]!.closed
  assert.deepEqual([ends, open[0]!.size, open[1]!.size], [8, 0, 0])
})

test('a socket has no more listeners than Node gives it, also behind a reply', async t => {
  const { server, port } = await serve(t)
  const sockets: Socket[] = []
  server.on('connection', socket => sockets.push(socket))
  const before = await RawClient.connect(port)
  await before.get('/').reply()
  watchSockets(server, 'connection', () => {}, () => {})
  const behind = await RawClient.connect(port)
  await behind.get('/').reply()
  const [one, other] = sockets.map(socket => socket.eventNames().map(name => [name, socket.listenerCount(name)]))
  assert.deepEqual(other, one)
})

test('what a watcher destroys is not told to those behind it, a stream of somebody else\'s is', async t => {
  const { server, port } = await serve(t)
  const begun: string[] = []
  let ended = 0
  watchSockets(server, 'connection', socket => { begun.push('first'); if (socket instanceof net.Socket) socket.destroy() }, () => {})
  watchSockets(server, 'connection', () => begun.push('second'), () => { ended++ })
  await (await RawClient.connect(port)).closed
  assert.deepEqual([begun, ended], [['first'], 1])
  const stream = new Duplex({ read () {}, write (_chunk, _encoding, done) { done() }, destroy (_error, done) { done(null) } })
  server.emit('connection', stream)
  assert.deepEqual(begun.slice(1), ['first', 'second'])
  stream.destroy()
  await once(stream, 'close')
  assert.equal(ended, 2)
})
