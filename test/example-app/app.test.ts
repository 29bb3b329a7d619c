import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { productOf } from '../../example-app/product.ts'
import { RawClient, eventually } from '../support/raw-http.ts'
import { importOf, request, start, type Reply } from './client.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

function json (reply: Reply): any {
  return JSON.parse(reply.body.toString())
}

function assertRefused (reply: Reply, status: number, code: string): void {
  assert.equal(reply.status, status)
  assert.equal(json(reply).code, code)
  assert.match(reply.headers['retry-after']!, /^[1-9]\d*$/)
  assert.equal(reply.headers['cache-control'], 'no-store')
}

test('the list is compressed and answers 304 to the tag of each of its representations', async t => {
  const { port } = await start(t)
  const plain = await request(port, '/products')
  const gzip = await request(port, '/products', { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(json(plain).products.length, 2_000)
  assert.deepEqual(json(plain).products[6], productOf(7))
  assert.deepEqual([plain.headers['content-encoding'], gzip.headers['content-encoding']], [undefined, 'gzip'])
  assert.deepEqual(gunzipSync(gzip.body), plain.body)
  assert.notEqual(gzip.headers.etag, plain.headers.etag)
  for (const [reply, headers] of [[plain, {}], [gzip, { 'accept-encoding': 'gzip' }]] as const) {
    assert.match(reply.headers.vary!, /accept-encoding/i)
    const again = await request(port, '/products', { headers: { ...headers, 'if-none-match': reply.headers.etag! } })
    assert.deepEqual([again.status, again.headers.etag, again.body.length], [304, reply.headers.etag, 0])
    assert.match(again.headers.vary!, /accept-encoding/i)
    assert.equal(again.headers['content-length'], undefined)
  }
})

test('the list goes on at `next`, and ends', async t => {
  const { port } = await start(t)
  const { products, next } = json(await request(port, '/products?after=1998&limit=1'))
  assert.deepEqual(products, [productOf(1999)])
  assert.deepEqual(json(await request(port, next)).products, [productOf(2000)])
  assert.deepEqual(json(await request(port, '/products?after=2000')), { products: [], next: null })
})

test('one product, by its own tag; 404 for one that is unknown, 400 for what is no id', async t => {
  const { port } = await start(t)
  const one = await request(port, '/products/7')
  assert.deepEqual(json(one), productOf(7))
  assert.equal((await request(port, '/products/7', { headers: { 'if-none-match': one.headers.etag! } })).status, 304)
  assert.equal((await request(port, '/products/2001')).status, 404)
  assert.equal((await request(port, '/products/seven')).status, 400)
})

for (const type of ['json', 'x-ndjson'] as const) {
  const write = (products: unknown[]): string => type === 'json' ? JSON.stringify(products) : products.map(product => JSON.stringify(product) + '\n').join('')

  test(`an import of ${type} is stored, and changes the tag of the list`, async t => {
    const { port } = await start(t)
    const end = '/products?after=1999'
    const { etag } = (await request(port, end)).headers
    const reply = await importOf(port, type, write([productOf(2001), productOf(2002)]))
    assert.equal(reply.status, 200)
    assert.deepEqual([json(reply).imported, json(reply).done], [2, true])
    assert.deepEqual(json(await request(port, '/products/2002')), productOf(2002))
    const list = await request(port, end, { headers: { 'if-none-match': etag! } })
    assert.equal(list.status, 200)
    assert.notEqual(list.headers.etag, etag)
  })

  test(`an invalid element of ${type} is named, and those before it are stored`, async t => {
    const { port } = await start(t)
    const reply = await importOf(port, type, write([productOf(2001), productOf(2002), { id: 2003 }, productOf(2004)]))
    assert.equal(reply.status, 400)
    const { code, message, index, imported } = json(reply)
    assert.deepEqual([code, index, imported], ['FST_SURGE_JSON_ELEMENT_INVALID', 2, 2])
    assert.match(message, /required property 'name'/)
    assert.deepEqual([(await request(port, '/products/2002')).status, (await request(port, '/products/2004')).status], [200, 404])
  })
}

test('an import tells how far it is, and how it failed', async t => {
  const { port } = await start(t)
  const products = Array.from({ length: 12_000 }, (_, index) => JSON.stringify(productOf(2001 + index)) + '\n')
  const reply = await importOf(port, 'x-ndjson', products.join('') + '{"id":', '?progress=true')
  assert.deepEqual([reply.status, reply.headers['content-type']], [200, 'application/x-ndjson'])
  const lines = reply.body.toString().trim().split('\n').map(line => JSON.parse(line))
  assert.equal(lines.length, 3)
  assert.ok(lines[0].imported >= 5_000 && lines[1].imported >= 10_000 && lines[1].bytes > lines[0].bytes)
  assert.deepEqual(lines.map(line => line.done), [false, false, true])
  assert.deepEqual([lines[2].imported, lines[2].error.code, lines[2].error.index], [12_000, 'FST_SURGE_JSON_TRUNCATED', 12_000])
})

test('what was imported outlasts a restart', async t => {
  const dataDir = await temporaryDir(t)
  const first = await start(t, { dataDir })
  await importOf(first.port, 'json', JSON.stringify([{ ...productOf(1), name: 'Renamed' }]))
  await first.app.close()
  const second = await start(t, { dataDir })
  assert.equal(json(await request(second.port, '/products/1')).name, 'Renamed')
})

test('a burst of orders is served as far as the downstream goes, and refused past that', async t => {
  const { app, port } = await start(t)
  const replies = await Promise.all(Array.from({ length: 150 }, () => request(port, '/orders')))
  const served = replies.filter(reply => reply.status === 200)
  assert.ok(served.length >= 60, `${served.length} were served`)
  const refused = replies.filter(reply => reply.status !== 200)
  assert.ok(refused.length > 0)
  for (const reply of refused) assertRefused(reply, 503, 'FST_SURGE_QUEUE_FULL')
  assert.ok(new Set(refused.map(reply => reply.headers['retry-after'])).size > 1, 'Retry-After is not the same for all')
  await eventually(() => app.concurrency.stats('orders').inflight === 0, 'all slots come back')
})

test('a burst of reports is refused past a short queue', async t => {
  const { port } = await start(t)
  const replies = await Promise.all(Array.from({ length: 15 }, () => request(port, '/report')))
  const served = replies.filter(reply => reply.status === 200)
  assert.ok(served.length > 0)
  assert.equal(json(served[0]!).pairs.length, 20)
  const refused = replies.filter(reply => reply.status !== 200)
  assert.ok(refused.length > 0)
  for (const reply of refused) assertRefused(reply, 503, 'FST_SURGE_QUEUE_FULL')
})

test('a client past its quota is answered 429, probes are not', async t => {
  const { port } = await start(t, { requestsPerMinute: 3 })
  for (let sent = 0; sent < 3; sent++) assert.equal((await request(port, '/')).status, 200)
  assertRefused(await request(port, '/products/1'), 429, 'FST_SURGE_RATE_LIMITED')
  assert.deepEqual([(await request(port, '/livez')).status, (await request(port, '/readyz')).status], [200, 200])
})

test('imports have a smaller quota', async t => {
  const { port } = await start(t)
  for (let sent = 0; sent < 10; sent++) assert.equal((await importOf(port, 'json', '[]')).status, 200)
  assertRefused(await importOf(port, 'json', '[]'), 429, 'FST_SURGE_RATE_LIMITED')
  assert.equal((await request(port, '/products/1')).status, 200)
})

test('a third import at a time is refused while two are still coming in', async t => {
  const { app, port } = await start(t)
  const head = 'POST /products/import HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
  const [first, second] = [await RawClient.connect(port), await RawClient.connect(port)]
  for (const client of [first, second]) client.send(`${head}1\r\n[\r\n`)
  await eventually(() => app.concurrency.stats('imports').inflight === 2, 'both have begun')
  assertRefused(await importOf(port, 'json', '[]'), 503, 'FST_SURGE_QUEUE_FULL')
  // One ends, one is cut off: both give their slots back.
  first.send('1\r\n]\r\n0\r\n\r\n')
  assert.equal((await first.reply()).status, 200)
  second.reset()
  await eventually(() => app.concurrency.stats('imports').inflight === 0, 'both have ended')
  first.end()
})

test('event streams hold no slot, and end when the server stops', async t => {
  const { app, port } = await start(t)
  const warnings: Error[] = []
  const warned = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warned)
  t.after(() => process.off('warning', warned))
  // More than the ten listeners past which Node warns of a leak.
  const clients = await Promise.all(Array.from({ length: 12 }, async () => (await RawClient.connect(port)).get('/events')))
  for (const client of clients) await client.until(received => received.includes('event: gates'))
  assert.equal(app.concurrency.stats().inflight, 0)
  await app.close()
  for (const client of clients) {
    // Whole, with its last chunk: the stream was ended, not cut off.
    const { status, headers } = await client.reply()
    assert.deepEqual([status, headers['content-type']], [200, 'text/event-stream'])
    await client.closed
  }
  assert.deepEqual(warnings, [])
})

test('no tick is waited for once the client of an event stream has left', async t => {
  const { port } = await start(t)
  const timers = (): number => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length
  const before = timers()
  const client = (await RawClient.connect(port)).get('/events')
  await client.until(received => received.includes('event: gates'))
  assert.equal(timers(), before + 1)
  client.reset()
  await eventually(() => timers() === before, 'no tick is waited for any more')
})

test('close() answers those in flight and those that wait, and ends their connections', async t => {
  const { app, port } = await start(t)
  const replies = Promise.all(Array.from({ length: 30 }, () => request(port, '/orders', { headers: { connection: 'keep-alive' } })))
  await eventually(() => app.concurrency.stats('orders').inflight + app.concurrency.stats('orders').queued === 30, 'all have arrived')
  await app.close()
  for (const { status, headers } of await replies) assert.deepEqual([status, headers.connection], [200, 'close'])
})
