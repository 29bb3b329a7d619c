// Every ending of the table in docs/json-stream.md by a client that is nothing but a socket, and what becomes of its connection: the
// next request on it is answered, or it is closed and nothing of the body is taken for a request.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { listen, RawClient } from './server.ts'

interface Case {
  name: string
  body: string | Buffer
  status: number
  code?: string
  /** Whether the connection ends when all of the body has come with its Content-Length; `undefined` where that depends on how far it was read. */
  ends: boolean | undefined
  path?: string
  headers?: Record<string, string>
  /** Announced instead of the body's own. */
  length?: number
  /** It takes a body that is not all in: a chunk, and no end. Then it ends the connection whatever it says. */
  unended?: false
}

const gzip = (text: string) => zlib.gzipSync(text)
const spread = '[' + Array(20_000).fill('"' + 'x'.repeat(90) + '"').join(',') + ']'

const table: Case[] = [
  { name: 'success', body: '[1,2] \n', status: 200, ends: false, unended: false },
  { name: 'invalid at element 2', body: '[1,2,tru]', status: 400, code: 'INVALID', ends: true },
  { name: 'something behind the end', body: '[1] 2', status: 400, code: 'INVALID', ends: true },
  { name: 'truncated', body: '[1,2', status: 400, code: 'TRUNCATED', ends: false, unended: false },
  { name: 'no body', body: '', status: 400, code: 'TRUNCATED', ends: false, unended: false },
  { name: 'shape', body: '{"a":1}', status: 400, code: 'SHAPE', ends: undefined },
  { name: 'depth', body: '[[[[[[1]]]]]]', status: 400, code: 'TOO_DEEP', ends: undefined },
  { name: 'UTF-8', body: Buffer.from('["\xff"]', 'latin1'), status: 400, code: 'NOT_UTF8', ends: undefined },
  { name: 'prototype', body: '[{"__proto__":1}]', status: 400, code: 'PROTOTYPE', ends: undefined },
  { name: 'schema', body: '[1,{"id":"x"}]', status: 400, code: 'ELEMENT_INVALID', ends: undefined, path: '/typed' },
  { name: 'collected', body: '[1,"x",2,"y"]', status: 400, code: 'ELEMENT_INVALID', ends: false, path: '/collected', unended: false },
  { name: 'no gzip', body: 'no gzip at all', status: 400, code: 'ENCODING', ends: undefined, headers: { 'content-encoding': 'gzip' } },
  { name: 'announced bytes', body: '[1', status: 413, code: 'TOO_LARGE', ends: true, length: 5_000_001, unended: false },
  { name: 'element', body: `["${'x'.repeat(2000)}"]`, status: 413, code: 'ELEMENT_TOO_LARGE', ends: true },
  { name: 'items', body: '[1,2,3,4,5,6]', status: 413, code: 'TOO_MANY_ITEMS', ends: true },
  { name: 'envelope', body: `{"pad":"${'x'.repeat(2000)}","rows":[1]}`, status: 413, code: 'ENVELOPE_TOO_LARGE', ends: true, path: '/path' },
  { name: 'ratio', body: gzip(spread), status: 413, code: 'RATIO', ends: true, path: '/many', headers: { 'content-encoding': 'gzip' }, unended: false },
  { name: 'media type', body: '[1]', status: 415, code: 'MEDIA_TYPE', ends: false, headers: { 'content-type': 'text/plain' } },
  { name: 'content encoding', body: '[1]', status: 415, code: 'CONTENT_ENCODING', ends: false, headers: { 'content-encoding': 'compress' } },
  { name: 'early break', body: '["enough",2,3]', status: 200, ends: false },
  { name: 'unread', body: '[1,2,3]', status: 200, ends: false, path: '/unread' }
]

function routes (app: FastifyInstance): void {
  const limits = { maxBytes: 5_000_000, maxElementBytes: 1000, maxItems: 5, maxDepth: 5, maxEnvelopeBytes: 1000 }
  const read = async (request: any) => {
    let rows = 0
    for await (const row of request.jsonStream()) {
      rows++
      if (row === 'enough') break
    }
    return { rows }
  }
  app.post('/import', { config: { jsonStream: { limits } } }, read)
  app.post('/many', { config: { jsonStream: { limits: { maxRatio: 10 } } } }, read)
  app.post('/path', { config: { jsonStream: { limits, path: 'rows' } } }, read)
  app.post('/typed', { config: { jsonStream: true }, schema: { body: { type: 'array', items: { anyOf: [{ type: 'integer' }, { type: 'object', properties: { id: { type: 'integer' } } }] } } } }, read)
  app.post('/collected', { config: { jsonStream: { collectErrors: 5 } }, schema: { body: { type: 'array', items: { type: 'integer' } } } }, read)
  app.post('/idle', { config: { jsonStream: { idleTimeout: 50 } } }, read)
  app.post('/unread', { config: { jsonStream: true } }, async () => ({ rows: 0 }))
  app.get('/next', async () => 'the next one')
}

function asked (received: string, { status, code }: Case): void {
  assert.match(received, new RegExp(`^HTTP/1.1 ${status} `))
  if (code !== undefined) assert.match(received, new RegExp(`"FST_SURGE_JSON_${code}"`))
}

test('a body that came whole: its status, its code, and the next request on its connection', async t => {
  const { port } = await listen(t, routes)
  for (const row of table) {
    const client = new RawClient(port)
    const { body, length = Buffer.byteLength(body), headers, path = '/import' } = row
    client.start(path, { 'transfer-encoding': '', 'content-length': String(length), ...headers })
    client.socket.write(body)
    const received = await client.until(/\r\n\r\n.*}/s)
    asked(received, row)
    const ends = /connection: close/i.test(received)
    if (row.ends !== undefined) assert.equal(ends, row.ends, row.name)
    if (ends) {
      client.socket.write('GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n')
      await client.closed
      assert.doesNotMatch(client.received, /the next one/, row.name)
    } else {
      client.received = ''
      client.socket.write('GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n')
      assert.match(await client.until(/the next one/), /^HTTP\/1.1 200/, row.name)
      client.socket.destroy()
    }
  }
})

test('a body whose end does not come is refused as soon as it can be, and a refusal of it closes', async t => {
  const { port } = await listen(t, routes)
  for (const row of table) {
    if (row.unended === false || (row.status !== 400 && row.status !== 413)) continue
    const client = new RawClient(port)
    client.start(row.path ?? '/import', row.headers)
    client.chunk(row.code === 'ENCODING' ? row.body : Buffer.concat([Buffer.from(row.body as string), Buffer.from(' ')]))
    const received = await client.until(/\r\n\r\n.*}/s)
    asked(received, row)
    assert.match(received, /connection: close/i, row.name)
    await client.closed
  }
})

test('bytes that no Content-Length announced are refused when they have come, behind the elements before them, and the rest is not read', async t => {
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: { limits: { maxBytes: 8 } } } }, async (request, reply) => {
      const rows: unknown[] = []
      try {
        for await (const row of request.jsonStream()) rows.push(row)
      } catch (error: any) {
        return await reply.code(error.statusCode).send({ code: error.code, rows })
      }
    })
    app.get('/next', async () => 'the next one')
  })
  const client = new RawClient(port)
  client.start('/import')
  client.chunk('[1,2,')
  client.chunk('3,4,5')
  assert.match(await client.until(/\r\n\r\n.*}/s), /^HTTP\/1.1 413[^]*connection: close[^]*{"code":"FST_SURGE_JSON_TOO_LARGE","rows":\[1,2,3\]}/)
  client.socket.write('0\r\n\r\nGET /next HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await client.closed
  assert.doesNotMatch(client.received, /the next one/)
})

test('silence in the middle of a body is a 408, and closes', async t => {
  const { port } = await listen(t, routes)
  const client = new RawClient(port)
  client.start('/idle')
  client.chunk('[1,')
  assert.match(await client.until(/FST_SURGE_JSON_IDLE/), /^HTTP\/1.1 408[^]*connection: close/)
  await client.closed
})

test('compressed bombs are given up after their first megabytes, in no memory to speak of', async t => {
  const zeros = (open: string, byte: number): Buffer => {
    const gunzipped = Buffer.alloc(200_000_000, byte)
    gunzipped.write(open)
    return zlib.gzipSync(gunzipped, { level: 1 })
  }
  const bodies = [['NULs', zeros('\0', 0), 400], ['digits', zeros('[', 0x30), 413], ['space', zeros('[', 0x20), 413], ['a string', zeros('["', 0x78), 413]] as const
  let decoded = 0
  const { url } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      try {
        for await (const row of stream) assert.ok(row)
      } finally {
        decoded = stream.bytesRead
      }
    })
  })
  const MOST = 8_000_000
  let peak = 0
  const poll = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()) }, 1)
  t.after(() => clearInterval(poll))
  for (const [name, body, status] of bodies) {
    const growth: number[] = []
    // The least of some rounds: what a heap grows by once, and the client's own share, is not what is asked about. On a busy machine
    // that may be more than all there may be, several times.
    for (let round = 0; round < 4 || (round < 12 && Math.min(...growth) >= MOST); round++) {
      const before = peak = process.memoryUsage.rss()
      const reply = await fetch(`${url}/import`, { method: 'POST', body, headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } }).catch(() => undefined)
      // Who still sends when the connection is closed may not see the reply.
      if (reply !== undefined) assert.equal(reply.status, status, name)
      assert.ok(decoded <= 2_000_000, `${decoded} bytes of ${name} were read`)
      growth.push(Math.max(peak, process.memoryUsage.rss()) - before)
    }
    assert.ok(Math.min(...growth) < MOST, `${name}: ${growth}`)
  }
})
