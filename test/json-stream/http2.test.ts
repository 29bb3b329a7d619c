// What becomes of an HTTP/2 stream whose body is not read to its end: the reply gets through, the stream closes with NO_ERROR, and the
// rest of the suite has its slots back. The connection goes on serving other streams.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { jsonStream } from '../../plugins/index.ts'
import { eventually } from '../support/raw-http.ts'

async function serve (t: TestContext, alone = false): Promise<{ app: FastifyInstance, session: http2.ClientHttp2Session }> {
  const app = Fastify({ http2: true } as any) as unknown as FastifyInstance
  if (alone) await app.register(jsonStream)
  else await app.register(surge, { concurrency: { limit: 4, maxWait: 100 } })
  const read = async (request: any) => {
    let rows = 0
    for await (const row of request.jsonStream()) {
      rows++
      if (row === 'slow') await once(request.raw.stream, 'close')
      if (row === 'enough') break
    }
    return { rows }
  }
  app.post('/import', { config: { jsonStream: { limits: { maxItems: 100, maxDepth: 2 } } } }, read)
  app.post('/idle', { config: { jsonStream: { idleTimeout: 50 } } }, read)
  app.post('/unread', { config: { jsonStream: true } }, async () => ({ rows: 0 }))
  app.post('/long', { config: { jsonStream: true } }, async () => 'x'.repeat(1_000_000))
  app.post('/late', { config: { jsonStream: true, deadline: 50 } }, read)
  const session = http2.connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.after(async () => {
    session.destroy()
    await app.close()
  })
  return { app, session }
}

interface Exchange { status: number, text: string, rstCode: number }

/** One request, until its stream has closed. */
function exchange (session: http2.ClientHttp2Session, path: string, body: string, { type = 'application/json', end = true } = {}): Promise<Exchange> {
  return new Promise(resolve => {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type })
    let status = 0
    let text = ''
    stream.on('error', () => {})
    stream.on('response', headers => { status = Number(headers[':status']) })
    stream.on('data', chunk => { text += chunk })
    stream.on('close', () => resolve({ status, text, rstCode: stream.rstCode! }))
    if (end) stream.end(body)
    else stream.write(body)
  })
}

const rest = ',1'.repeat(350_000) + ']'

const left: Array<[name: string, path: string, body: string, status: number, options?: { type?: string, end?: boolean }]> = [
  ['left', '/import', `["enough"${rest}`, 200],
  ['never read', '/unread', `[1${rest}`, 200],
  ['not JSON', '/import', `[1,x${rest}`, 400],
  ['too many elements', '/import', `[1${rest}`, 413],
  ['another media type', '/import', `[1${rest}`, 415, { type: 'text/plain' }],
  ['a small one that is refused and does not end', '/import', '[1,x,', 400, { end: false }],
  ['too deep, and does not end', '/import', '[[[', 400, { end: false }],
  ['silent', '/idle', '[1,', 408, { end: false }],
  ['past its deadline', '/late', '[1,', 503, { end: false }],
  ['past its deadline, and long', '/late', `["slow"${rest}`, 503]
]

for (const [name, path, body, status, options] of left) {
  for (const alone of [false, true]) {
    if (alone && path === '/late') continue
    test(`a body that is ${name}, ends its stream${alone ? '' : ' and gives its slot back'}`, { timeout: 10_000 }, async t => {
      const { app, session } = await serve(t, alone)
      for (let round = 0; round < 6; round++) {
        const reply = await exchange(session, path, body, options)
        assert.deepEqual([reply.status, reply.rstCode], [status, 0], reply.text)
      }
      assert.equal((await exchange(session, '/import', '[1,2]')).text, '{"rows":2}')
      if (!alone) await eventually(() => app.concurrency.stats().inflight === 0, 'every slot is free')
    })
  }
}

test('a reply that its client takes slowly arrives whole, though its body is not read', { timeout: 10_000 }, async t => {
  const { session } = await serve(t)
  const { status, text, rstCode } = await exchange(session, '/long', `[1${rest}`)
  assert.deepEqual([status, text.length, rstCode], [200, 1_000_000, 0])
})
