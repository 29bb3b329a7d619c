import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { ContextBudget } from '../../plugins/compression/context-budget.ts'
import { AVAILABLE, Encoder } from '../../plugins/compression/encoder.ts'

const decoders: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: zlib.gunzipSync,
  br: zlib.brotliDecompressSync,
  deflate: zlib.inflateSync,
  zstd: (zlib as any).zstdDecompressSync
}
const none = { brotliOptions: undefined, zlibOptions: undefined, zlib: undefined }
const TEXT = 'héllo wörld '.repeat(500)

test('each coding that Node has decodes to the body, one-shot and streamed', async () => {
  const encoder = new Encoder(none)
  assert.equal(AVAILABLE.includes('zstd'), 'zstdCompressSync' in zlib)
  for (const encoding of AVAILABLE) {
    const decode = decoders[encoding]!
    assert.equal(decode(encoder.encodeSync(encoding, TEXT)).toString(), TEXT, encoding)
    assert.equal(decode(encoder.encodeSync(encoding, Buffer.from(TEXT))).toString(), TEXT, encoding)
    const bytes = await new Promise<Buffer>((resolve, reject) => encoder.encode(encoding, TEXT, false, (error, bytes) => error ? reject(error) : resolve(bytes)))
    assert.equal(decode(bytes).toString(), TEXT, encoding)
    const stream = encoder.createStream(encoding)
    stream.end(TEXT)
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    assert.equal(decode(Buffer.concat(chunks)).toString(), TEXT, encoding)
  }
})

test('options reach their coding, and bad ones fail when the encoder is made', () => {
  const best = new Encoder({ ...none, zlibOptions: { level: 9 } }).encodeSync('gzip', TEXT)
  const stored = new Encoder({ ...none, zlibOptions: { level: 0 } }).encodeSync('gzip', TEXT)
  assert.ok(best.length < stored.length / 10)
  assert.throws(() => new Encoder({ ...none, zlibOptions: { windowBits: 99 } }), RangeError)
})

test('a replaced stream is not bypassed by a one-shot function of another zlib', () => {
  const streamOnly = new Encoder({ ...none, zlib: { createGzip: zlib.createGzip } })
  assert.equal(streamOnly.isOneShot('gzip'), false)
  assert.equal(streamOnly.isOneShot('br'), true)
  assert.equal(new Encoder({ ...none, zlib }).isOneShot('gzip'), true)
})

test('a budget of contexts', () => {
  const budget = new ContextBudget(2)
  assert.deepEqual([budget.take(), budget.take(), budget.take()], [true, true, false])
  budget.give()
  assert.equal(budget.open, 1)
  assert.equal(budget.take(), true)
  assert.equal(new ContextBudget(0).take(), false)
})
