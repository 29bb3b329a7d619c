// A lower level under pressure: what the process has to spare decides about the level, never about the tag.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import compression, { type CompressionOptions } from '../../plugins/compression/index.ts'
import { AVAILABLE, Encoder } from '../../plugins/compression/encoder.ts'

const { constants } = zlib
const SMALL = JSON.stringify(Array.from({ length: 50 }, (_, id) => ({ id, name: `name of ${id * 7919 % 50}` })))
const LARGE = JSON.stringify(Array.from({ length: 2_000 }, (_, id) => ({ id, name: `name of ${id * 7919 % 2_000}` })))

interface Served { app: FastifyInstance, levels: unknown[], press: (pressed: boolean) => void }

/** Tells the level of each compression; the pressure is whatever it is told. */
async function serve (options: CompressionOptions = {}, routes: (app: FastifyInstance) => void = () => {}): Promise<Served> {
  const app = Fastify()
  const levels: unknown[] = []
  const seen = (options: any, length = 1) => { if (length > 0) levels.push(options.level ?? options.params?.[constants.BROTLI_PARAM_QUALITY]) }
  const spy = {
    ...zlib,
    gzipSync: (body: any, options: any) => { seen(options, body.length); return zlib.gzipSync(body, options) },
    gzip: (body: any, options: any, done: any) => { seen(options); zlib.gzip(body, options, done) },
    createGzip: (options: any) => { seen(options); return zlib.createGzip(options) },
    brotliCompressSync: (body: any, options: any) => { seen(options, body.length); return zlib.brotliCompressSync(body, options) }
  }
  await app.register(compression, { encodings: ['br', 'gzip'], zlib: spy, syncThreshold: 8192, ...options })
  // Behind compression, as whoever registers pressure on their own may do.
  let pressed = false
  app.decorate('isUnderPressure', () => pressed)
  app.get('/small', async () => SMALL)
  app.get('/large', async () => LARGE)
  app.get('/stream', (_request, reply) => { reply.type('text/plain').send(Readable.from([LARGE])) })
  routes(app)
  await app.ready()
  levels.length = 0
  return { app, levels, press: now => { pressed = now } }
}

async function get (app: FastifyInstance, url: string, coding = 'gzip') {
  const reply = await app.inject({ url, headers: { 'accept-encoding': coding } })
  const decode = coding === 'br' ? zlib.brotliDecompressSync : zlib.gunzipSync
  assert.equal(decode(reply.rawPayload).toString(), url === '/small' ? SMALL : LARGE)
  return reply
}

test('under pressure whole bodies and streams take a lower level, and the full one when it is over', async () => {
  const { app, levels, press } = await serve({ cache: false })
  for (const [url, coding] of [['/small', 'gzip'], ['/large', 'gzip'], ['/stream', 'gzip'], ['/small', 'br']] as const) {
    press(false)
    const before = await get(app, url, coding)
    press(true)
    const meanwhile = await get(app, url, coding)
    press(false)
    await get(app, url, coding)
    assert.deepEqual(levels.splice(0), coding === 'br' ? [4, 1, 4] : [undefined, 1, undefined], `${url} ${coding}`)
    assert.equal(meanwhile.headers.etag, before.headers.etag)
  }
})

test('what was encoded in haste is kept for the pressure, and not beyond it', async () => {
  for (const url of ['/small', '/large']) {
    const { app, levels, press } = await serve()
    press(true)
    for (let i = 0; i < 4; i++) await get(app, url)
    assert.deepEqual(levels.splice(0), [1, 1], 'kept from its second use on')
    press(false)
    for (let i = 0; i < 4; i++) await get(app, url)
    assert.deepEqual(levels.splice(0), [undefined, undefined], 'and made anew at the full level')
    press(true)
    await get(app, url)
    assert.deepEqual(levels, [], 'which is sent under pressure as well, since it is there')
  }
})

test('a level that the app has set stays, and so does the one behind a strong tag', async () => {
  const own = await serve({ cache: false, zlibOptions: { level: 7 }, brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } } })
  own.press(true)
  await get(own.app, '/small', 'gzip')
  await get(own.app, '/small', 'br')
  assert.deepEqual(own.levels, [7, 5])

  const strong = await serve({ cache: false, etag: 'per-encoding' })
  const before = await get(strong.app, '/small')
  strong.press(true)
  const meanwhile = await get(strong.app, '/small')
  assert.equal(meanwhile.headers.etag, before.headers.etag)
  assert.ok(meanwhile.rawPayload.equals(before.rawPayload))
})

test('half of the contexts in use are pressure enough', async () => {
  const sources: Readable[] = []
  const { app, levels } = await serve({ cache: false, maxContexts: 4 }, app => {
    app.get('/waiting', (_request, reply) => {
      const source = new Readable({ read () {} })
      sources.push(source)
      source.push(LARGE)
      reply.type('text/plain').send(source)
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  const readers = await Promise.all(Array.from({ length: 4 }, async () => {
    const [reply] = await once(http.get({ port, path: '/waiting', headers: { 'accept-encoding': 'gzip' }, agent: false }), 'response')
    return reply as http.IncomingMessage
  }))
  assert.deepEqual(levels.splice(0), [undefined, undefined, 1, 1])
  await get(app, '/small')
  assert.deepEqual(levels.splice(0), [1])
  for (const source of sources) source.push(null)
  await Promise.all(readers.map(async reply => { reply.resume(); await once(reply, 'close') }))
  await get(app, '/small')
  assert.deepEqual(levels, [undefined])
  await app.close()
})

test('every coding has a lower level that decodes to the same', () => {
  const encoder = new Encoder({ brotliOptions: undefined, zlibOptions: undefined, zlib: undefined })
  const decoders: Record<string, (bytes: Buffer) => Buffer> = { gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync, deflate: zlib.inflateSync, zstd: (zlib as any).zstdDecompressSync }
  for (const encoding of AVAILABLE) {
    const [usual, hasty] = [encoder.encodeSync(encoding, LARGE), encoder.encodeSync(encoding, LARGE, true)]
    assert.equal(decoders[encoding]!(hasty).toString(), LARGE)
    assert.ok(!hasty.equals(usual), encoding)
  }
})
