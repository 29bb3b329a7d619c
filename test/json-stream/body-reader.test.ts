import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { PassThrough } from 'node:stream'
import zlib from 'node:zlib'
import { BodyReader, DRAIN_BYTES } from '../../plugins/json-stream/body-reader.ts'
import type { Clock } from '../../plugins/shared/clock.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually } from '../support/raw-http.ts'
import { decoderFor } from '../../plugins/json-stream/encodings.ts'
import { RawClient } from './server.ts'

function reader (clock: Clock = new FakeClock()) {
  const wire = new PassThrough({ highWaterMark: 1024 ** 2 })
  const body = new BodyReader(wire as any, wire, { decoder: undefined, encoding: 'identity', maxBytes: 1e9, maxRatio: 100, idleTimeout: 1000, clock })
  return { wire, body }
}

const later = () => new Promise(resolve => setImmediate(resolve))

test('only a reader that waits is timed, at the limit and not before', async () => {
  const clock = new FakeClock()
  const { wire, body } = reader(clock)
  clock.advance(5000)
  const first = body.read()
  clock.advance(999)
  wire.write('a')
  assert.equal(String(await first), 'a')
  clock.advance(5000)
  assert.equal(body.failure, undefined)
  const second = assert.rejects(body.read(), { code: 'FST_SURGE_JSON_IDLE', statusCode: 408 })
  clock.advance(1000)
  await second
})

test('nothing is read before it is asked for, and then one chunk ahead at most', async () => {
  const { wire, body } = reader()
  for (const text of ['a', 'b', 'c', 'd']) wire.write(text)
  await later()
  assert.equal(body.wireBytes, 0)
  assert.equal(String(await body.read()), 'a')
  await later()
  assert.equal(body.wireBytes, 2)
  wire.end()
  assert.deepEqual([String(await body.read()), String(await body.read()), String(await body.read()), await body.read(), await body.read()], ['b', 'c', 'd', null, null])
  assert.ok(body.complete)
})

test('a reader that keeps up leaves the event loop to others after half a megabyte at most', async () => {
  const wire = new PassThrough({ highWaterMark: 8 * 1024 ** 2 })
  const body = new BodyReader(wire as any, wire, { decoder: undefined, encoding: 'identity', maxBytes: 1e9, maxRatio: 100, idleTimeout: 1000, clock: new FakeClock() })
  for (let count = 0; count < 64; count++) wire.write(Buffer.alloc(64 * 1024))
  wire.end()
  let read = 0
  const turns: number[] = []
  const turn = () => {
    turns.push(read)
    if (!body.complete) setImmediate(turn)
  }
  setImmediate(turn)
  for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) read += chunk.length
  assert.equal(read, 4 * 1024 ** 2)
  assert.ok(turns.every((bytes, at) => bytes - (turns[at - 1] ?? 0) <= 512 * 1024), String(turns))
})

test('many elements in few bytes leave the event loop to others after each chunk', async () => {
  const { wire, body } = reader()
  for (const text of ['a', 'b', 'c', 'd']) wire.write(text)
  wire.end()
  let turns = 0
  const seen: number[] = []
  const turn = () => {
    turns++
    if (!body.complete) setImmediate(turn)
  }
  setImmediate(turn)
  for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) {
    seen.push(turns)
    body.parsed(22_000)
  }
  assert.equal(new Set(seen).size, 4, String(seen))
})

test('behind many elements in few bytes chunks are cut, until there are fewer, and nothing is lost', async () => {
  const { wire, body } = reader()
  const bytes = Buffer.alloc(192 * 1024, 'abcdefg')
  for (let at = 0; at < bytes.length; at += 64 * 1024) wire.write(bytes.subarray(at, at + 64 * 1024))
  wire.end()
  const chunks: Buffer[] = []
  for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) {
    chunks.push(chunk)
    // Three bytes an element, later a thousand.
    body.parsed(chunks.length <= 4 ? chunk.length / 3 : chunk.length / 1000)
  }
  const sizes = chunks.map(chunk => chunk.length)
  assert.deepEqual([sizes[0], sizes.slice(1, 5).every(size => size / 3 <= 8192), sizes.length], [64 * 1024, true, 6])
  assert.ok(Buffer.concat(chunks).equals(bytes))
})

test('a wire that closes before its end rejects the read, and every later one', async () => {
  const { wire, body } = reader()
  const read = assert.rejects(body.read(), { code: 'FST_SURGE_JSON_ABORTED' })
  wire.destroy()
  await read
  await assert.rejects(body.read(), { code: 'FST_SURGE_JSON_ABORTED' })
})

test('a drain ends at the end, at its limit, or at its time', async () => {
  const outcomes: string[] = []
  const short = reader()
  short.body.discard(() => outcomes.push('too much of the short one'))
  short.wire.end(Buffer.alloc(DRAIN_BYTES))
  await later()
  await later()
  assert.ok(short.body.complete)

  const long = reader()
  long.body.discard(() => outcomes.push('long'))
  long.wire.write(Buffer.alloc(DRAIN_BYTES))
  await later()
  long.wire.write(Buffer.alloc(1))
  await later()
  long.wire.write(Buffer.alloc(1))
  await later()

  const clock = new FakeClock()
  const slow = reader(clock)
  slow.body.discard(() => outcomes.push('slow'))
  clock.advance(1000)
  assert.deepEqual(outcomes, ['long', 'slow'])
})

test('a body that is left has no more to give: null to a reader that waits, or the failure that it was left for', async () => {
  const { body } = reader()
  const read = body.read()
  body.discard(() => {})
  assert.equal(await read, null)
  const replied = reader()
  const waiting = assert.rejects(replied.body.read(), /replied/)
  replied.body.discard(() => {}, new Error('replied'))
  await waiting
  await assert.rejects(replied.body.read(), /replied/)
})

test('a body whose connection has closed behind its reply is held by no timer', { timeout: 10_000 }, async t => {
  const clock = new FakeClock()
  const server = http.createServer((request, response) => {
    const body = new BodyReader(request, request, { decoder: undefined, encoding: 'identity', maxBytes: 1e9, maxRatio: 100, idleTimeout: 1000, clock })
    body.discard(() => {})
    response.setHeader('connection', 'close').end(String(clock.timers))
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise(resolve => server.once('listening', resolve))
  const client = new RawClient((server.address() as AddressInfo).port)
  client.start('/', { 'transfer-encoding': '', 'content-length': '100000' })
  client.socket.write('[1,')
  await client.closed
  assert.match(client.received, /1$/)
  await eventually(() => clock.timers === 0, 'the timer is cleared')
})

/** What of `parts`, each a chunk on the wire, is read, and what it fails with. */
async function decoded (encoding: 'gzip' | 'br', parts: Buffer[]): Promise<{ text: string, code?: string }> {
  const wire = new PassThrough()
  const decoder = decoderFor(encoding, [encoding])!
  const body = new BodyReader(wire as any, wire, { decoder, encoding, maxBytes: 1e9, maxRatio: 100, idleTimeout: 1000, clock: new FakeClock() })
  let text = ''
  try {
    for (const part of parts) wire.write(part)
    wire.end()
    for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) text += chunk
    return { text }
  } catch (error: any) {
    return { text, code: error.code }
  }
}

test('bytes behind the end of a compressed body are an error, whenever they come, unless they are NULs', async () => {
  const gzip = zlib.gzipSync('rows')
  const br = zlib.brotliCompressSync('rows')
  const junk = Buffer.from('JUNK')
  const nuls = Buffer.alloc(512)
  for (const [encoding, body] of [['gzip', gzip], ['br', br]] as const) {
    for (const parts of [[body], [body, nuls], [Buffer.concat([body, nuls]), nuls]]) {
      assert.deepEqual(await decoded(encoding, parts), { text: 'rows' }, `${encoding} of ${parts.map(part => part.length)}`)
    }
    for (const parts of [[Buffer.concat([body, junk])], [body, junk], [body, nuls, junk], [Buffer.concat([body, nuls]), body], [Buffer.concat([body, nuls, junk])]]) {
      assert.equal((await decoded(encoding, parts)).code, 'FST_SURGE_JSON_ENCODING', `${encoding} of ${parts.map(part => part.length)}`)
    }
  }
  for (const parts of [[gzip, gzip], [Buffer.concat([gzip, gzip])]]) assert.deepEqual(await decoded('gzip', parts), { text: 'rowsrows' })
})
