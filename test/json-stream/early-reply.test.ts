// A reply that goes out while the body is read still: the rest is thrown away, and whoever reads it is told. An iteration that ended
// as if that were all would commit half an import, one that waited on would hang.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import zlib from 'node:zlib'
import Fastify from 'fastify'
import surge from '../../plugins/index.ts'
import type { JsonStream } from '../../plugins/json-stream/index.ts'
import { deferred, listen, RawClient } from './server.ts'

/** An iteration whose second next() waits for more of the body. */
async function waitsForMore (stream: JsonStream<unknown>) {
  const { signal } = stream
  const iterator = stream[Symbol.asyncIterator]()
  await iterator.next()
  const next = iterator.next()
  // Until the body is asked for more, which nobody hears of.
  await new Promise(resolve => setImmediate(resolve))
  return { signal, iterator, next }
}

const types = { 'application/x-ndjson': ['1\n', '2\n3\n'], 'application/json': ['[1,', '2,3]'] } as const

for (const [type, [first, rest]] of Object.entries(types)) {
  test(`a reply before the end of the body: the rest of ${type} rejects, though it comes in whole`, { timeout: 10_000 }, async t => {
    const outcome = deferred<any>()
    const { port } = await listen(t, app => {
      app.post('/import', { config: { jsonStream: true } }, async (request, reply) => {
        const rows = []
        try {
          for await (const row of request.jsonStream()) {
            rows.push(row)
            reply.code(202).send({ accepted: true })
            await once(request.raw, 'end')
          }
          outcome.resolve({ rows, ended: true })
        } catch (error: any) {
          outcome.resolve({ rows, code: error.code })
        }
        return reply
      })
    })
    const client = new RawClient(port)
    client.start('/import', { 'content-type': type })
    client.chunk(first)
    await client.until(/accepted/)
    client.chunk(rest)
    client.end()
    assert.deepEqual(await outcome.promise, { rows: [1], code: 'FST_SURGE_JSON_REPLIED' })
    client.socket.destroy()
  })

  for (const encoding of ['identity', 'gzip']) {
    test(`a reply while the handler waits for more of ${type}, ${encoding}: it is told at once`, { timeout: 10_000 }, async t => {
      const outcome = deferred<any>()
      const { port } = await listen(t, app => {
        app.post('/import', { config: { jsonStream: true } }, async (request, reply) => {
          const { signal, next } = await waitsForMore(request.jsonStream())
          reply.code(202).send({ accepted: true })
          outcome.resolve(await next.catch(error => [error.code, signal.reason === error]))
          return reply
        })
      })
      const client = new RawClient(port)
      client.start('/import', { 'content-type': type, 'content-encoding': encoding })
      client.chunk(encoding === 'gzip' ? zlib.gzipSync(first, { finishFlush: zlib.constants.Z_SYNC_FLUSH }) : first)
      assert.deepEqual(await outcome.promise, ['FST_SURGE_JSON_REPLIED', true])
      client.socket.destroy()
    })
  }
}

test('a deadline that answers while rows are stored: the import does not end as if it were whole', { timeout: 10_000 }, async t => {
  const outcome = deferred<any>()
  const app = Fastify()
  t.after(() => app.close())
  await app.register(surge, { deadline: { timeout: 50 } })
  app.post('/import', { config: { jsonStream: true } }, async request => {
    const rows = []
    try {
      for await (const row of request.jsonStream()) {
        rows.push(row)
        await once(request.raw, 'end')
      }
      outcome.resolve({ rows, ended: true })
    } catch (error: any) {
      outcome.resolve({ rows, code: error.code })
    }
  })
  const client = new RawClient(Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port))
  // So few bytes, and known, that the connection is kept.
  client.start('/import', { 'content-type': 'application/x-ndjson', 'transfer-encoding': '', 'content-length': '4' })
  client.socket.write('1\n')
  await client.until(/HTTP\/1.1 503/)
  client.socket.write('2\n')
  assert.deepEqual(await outcome.promise, { rows: [1], code: 'FST_SURGE_JSON_REPLIED' })
  client.socket.destroy()
})

for (const encoding of ['identity', 'gzip']) {
  test(`return() answers a next() that waits: ${encoding}`, { timeout: 10_000 }, async t => {
    const { port } = await listen(t, app => {
      app.post('/import', { config: { jsonStream: true } }, async request => {
        const { signal, iterator, next } = await waitsForMore(request.jsonStream())
        await iterator.return!()
        return { next: await next, aborted: signal.aborted }
      })
    })
    const client = new RawClient(port)
    client.start('/import', { 'content-encoding': encoding })
    client.chunk(encoding === 'gzip' ? zlib.gzipSync('[1,', { finishFlush: zlib.constants.Z_SYNC_FLUSH }) : '[1,')
    assert.match(await client.until(/}$/), /{"next":{"done":true},"aborted":false}/)
    client.socket.destroy()
  })
}
