import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import officialCompress from '@fastify/compress'
import officialEtag from '@fastify/etag'
import Fastify, { type FastifyInstance } from 'fastify'
import compression, { type CompressionOptions } from '../../plugins/compression/index.ts'
import { setSuiteState } from '../../plugins/shared/suite-state.ts'

const TEXT = 'all work and no play makes Jack a dull boy. '.repeat(60)
const LARGE = { text: TEXT.repeat(20) }
const gzip = { 'accept-encoding': 'gzip' }

async function make (options: CompressionOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(compression, options)
  return app
}

test('a body below the threshold stays plain, in bytes and not in characters', async () => {
  const app = await make({ threshold: 100 })
  app.get('/:length', async request => 'é'.repeat(Number((request.params as { length: string }).length)))
  for (const [length, coding] of [[33, undefined], [49, undefined], [50, 'gzip'], [100, 'gzip']] as const) {
    assert.equal((await app.inject({ url: `/${length}`, headers: gzip })).headers['content-encoding'], coding, `${length}`)
  }
})

test('plain text that looks like gzip or zlib arrives intact, whole and streamed (fastify-compress#347)', async () => {
  const app = await make()
  const bodies = ['x ', 'hC', '80', 'x\u0001', '\u001f\u008b\b'].flatMap(start => [start + TEXT, start + TEXT.repeat(50), start])
  app.get('/whole/:n', (request, reply) => { reply.type('text/plain').send(bodies[Number((request.params as any).n)]) })
  app.get('/buffer/:n', (request, reply) => { reply.type('text/plain').send(Buffer.from(bodies[Number((request.params as any).n)]!)) })
  app.get('/stream/:n', (request, reply) => { reply.type('text/plain').send(Readable.from([bodies[Number((request.params as any).n)]])) })
  app.get('/bytes/:n', (request, reply) => { reply.type('text/plain').send(Readable.from([...Buffer.from(bodies[Number((request.params as any).n)]!.slice(0, 50))].map(byte => Buffer.of(byte)))) })
  app.get('/call/:n', (request, reply) => { reply.type('text/plain').compress(Readable.from([bodies[Number((request.params as any).n)]!])) })
  for (const [n, body] of bodies.entries()) {
    for (const kind of ['whole', 'buffer', 'stream', 'bytes', 'call']) {
      for (const [coding, decode] of [['gzip', zlib.gunzipSync], ['br', zlib.brotliDecompressSync], ['deflate', zlib.inflateSync]] as const) {
        const reply = await app.inject({ url: `/${kind}/${n}`, headers: { 'accept-encoding': coding } })
        const got = reply.headers['content-encoding'] === undefined ? reply.rawPayload : decode(reply.rawPayload)
        const want = kind === 'bytes' ? Buffer.from(body.slice(0, 50)) : Buffer.from(body)
        assert.ok(got.equals(want), `${kind} ${coding} ${JSON.stringify(body.slice(0, 3))} of ${body.length}`)
        if (kind !== 'whole' && kind !== 'buffer') assert.equal(reply.headers['content-encoding'], coding)
      }
    }
  }
})

test('a stream that fails before its first byte yields a 500 that is labelled neither gzip nor by the tag', async () => {
  const app = await make()
  app.get('/', (_request, reply) => {
    reply.type('text/plain').header('etag', '"v1"')
    reply.send(new Readable({ read () { this.destroy(new Error('no such file')) } }))
  })
  app.get('/compress', (_request, reply) => { reply.compress(new Readable({ read () { this.destroy(new Error('no such file')) } })) })
  for (const url of ['/', '/compress']) {
    for (const headers of [gzip, {}]) {
      const reply = await app.inject({ url, headers })
      assert.equal(reply.statusCode, 500)
      assert.equal(reply.headers['content-encoding'], undefined)
      assert.equal(reply.headers.etag, undefined)
      assert.equal(reply.json().message, 'no such file')
    }
  }
})

test('an onSend hook that fails behind ours leaves its error without tag and coding', async () => {
  const app = await make()
  app.addHook('onRoute', route => {
    let fails = true
    route.onSend = [route.onSend ?? []].flat().concat((_request: unknown, _reply: unknown, payload: unknown, done: (error: Error | null, payload?: any) => void) => {
      done(fails ? new Error('late') : null, payload)
      fails = false
    })
  })
  app.get('/', { exposeHeadRoute: false }, async () => LARGE)
  const reply = await app.inject({ url: '/', headers: gzip })
  assert.equal(reply.statusCode, 500)
  assert.equal(reply.headers['content-encoding'], undefined)
  assert.equal(reply.headers.etag, undefined)
  assert.equal(reply.json().message, 'late')
})

test("the app's own hooks see plain strings, and what they change is what is tagged", async () => {
  const app = await make()
  const seen: unknown[] = []
  app.addHook('onSend', async (_request, _reply, payload) => {
    seen.push(typeof payload)
    return `${payload as string} `
  })
  app.get('/', { onSend: async (_request, _reply, payload) => { seen.push(typeof payload); return `${payload as string}!` } }, async () => LARGE)
  const reply = await app.inject({ url: '/', headers: gzip })
  assert.deepEqual(seen, ['string', 'string'])
  assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), JSON.stringify(LARGE) + ' !')
})

test('one array of hooks that two routes share gains nothing', async () => {
  const app = await make()
  const shared = [async (_request: unknown, _reply: unknown, payload: unknown) => payload]
  app.get('/a', { onSend: shared }, async () => LARGE)
  app.get('/b', { onSend: shared, config: { compression: false } }, async () => LARGE)
  assert.equal(shared.length, 1)
  assert.equal((await app.inject({ url: '/b', headers: gzip })).headers['content-encoding'], undefined)
  assert.equal((await app.inject({ url: '/a', headers: gzip })).headers['content-encoding'], 'gzip')
})

test('explicit HEAD routes, and routes of several methods', async () => {
  const app = await make()
  app.route({ method: ['GET', 'HEAD'], url: '/both', handler: async () => LARGE })
  app.head('/head', (_request, reply) => { reply.type('text/html').header('etag', '"v1"').header('content-length', '5000').send() })
  const get = await app.inject({ url: '/both', headers: gzip })
  const head = await app.inject({ method: 'HEAD', url: '/both', headers: gzip })
  for (const field of ['etag', 'vary', 'content-encoding', 'content-length', 'content-type']) assert.equal(head.headers[field], get.headers[field], field)
  const own = await app.inject({ method: 'HEAD', url: '/head', headers: gzip })
  assert.equal(own.headers.vary, 'accept-encoding')
  assert.equal(own.headers['content-length'], '5000')
  assert.equal((await app.inject({ method: 'HEAD', url: '/head', headers: { 'if-none-match': '"v1"' } })).statusCode, 304)
})

test('ranges, 204, 304 and replies without a body', async () => {
  const app = await make()
  app.get('/range', (_request, reply) => { reply.code(206).header('content-range', 'bytes 0-9/3000').type('text/plain').send(TEXT) })
  app.get('/204', (_request, reply) => { reply.code(204).send() })
  app.get('/304', (_request, reply) => { reply.header('etag', '"v1"').code(304).send('') })
  app.get('/empty', (_request, reply) => { reply.send() })
  app.get('/redirect', (_request, reply) => { reply.redirect('/empty') })
  const range = await app.inject({ url: '/range', headers: gzip })
  assert.equal(range.headers['content-encoding'], undefined)
  assert.equal(range.headers.etag, undefined)
  assert.equal(range.payload, TEXT)
  assert.equal((await app.inject({ url: '/204', headers: gzip })).headers.etag, undefined)
  const own = await app.inject({ url: '/304', headers: gzip })
  assert.equal(own.headers['content-length'], undefined)
  assert.equal(own.headers.vary, 'accept-encoding')
  assert.equal(own.headers.etag, '"v1"')
  assert.equal((await app.inject({ url: '/empty', headers: gzip })).headers['content-length'], '0')
  assert.equal((await app.inject({ method: 'HEAD', url: '/empty', headers: gzip })).statusCode, 200)
  assert.equal((await app.inject({ url: '/redirect', headers: gzip })).statusCode, 302)
})

test('web streams and fetch Responses are encoded, HEAD without reading them', async () => {
  const app = await make()
  app.get('/web', (_request, reply) => { reply.type('text/plain').send(new Blob([TEXT]).stream()) })
  app.get('/response', async () => new Response(TEXT, { status: 203, headers: { 'content-type': 'text/plain', 'x-from': 'fetch' } }))
  app.get('/nothing', async () => new Response(null, { status: 202 }))
  for (const [url, status] of [['/web', 200], ['/response', 203]] as const) {
    const reply = await app.inject({ url, headers: gzip })
    assert.equal(reply.statusCode, status)
    assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), TEXT)
    assert.equal((await app.inject(url)).payload, TEXT)
    assert.equal((await app.inject({ method: 'HEAD', url, headers: gzip })).headers['content-encoding'], 'gzip')
  }
  assert.equal((await app.inject({ url: '/response', headers: gzip })).headers['x-from'], 'fetch')
  assert.equal((await app.inject('/nothing')).statusCode, 202)
  assert.equal((await app.inject({ method: 'HEAD', url: '/nothing' })).statusCode, 202)
})

test('a stream that a 304 or 412 replaces is closed', async () => {
  const app = await make()
  const streams: Readable[] = []
  app.get('/', (_request, reply) => {
    const stream = Readable.from([TEXT])
    streams.push(stream)
    reply.header('etag', '"v1"').type('text/plain').send(stream)
  })
  assert.equal((await app.inject({ url: '/', headers: { 'if-none-match': '"v1"' } })).statusCode, 304)
  assert.equal((await app.inject({ url: '/', headers: { 'if-match': '"v2"' } })).statusCode, 412)
  assert.deepEqual(streams.map(stream => stream.destroyed), [true, true])
})

test('notModified answers before the body is computed, in each mode', async () => {
  for (const etag of ['weak-when-encoded', 'per-encoding', 'weak', false] as const) {
    const app = await make({ etag })
    let computed = 0
    app.get('/', async (_request, reply) => {
      if (reply.notModified({ etag: 'v1', lastModified: Date.UTC(2020, 0, 1) })) return reply
      computed++
      return LARGE
    })
    for (const accept of [{}, gzip]) {
      const first = await app.inject({ url: '/', headers: accept })
      assert.equal(first.statusCode, 200)
      assert.equal(computed, 1)
      const again = await app.inject({ url: '/', headers: { ...accept, 'if-none-match': String(first.headers.etag) } })
      assert.equal(again.statusCode, 304, `${etag} ${first.headers.etag}`)
      assert.equal(again.headers.etag, first.headers.etag)
      assert.equal(again.headers.vary, 'accept-encoding')
      assert.equal(again.headers['content-length'], undefined)
      assert.equal(again.rawPayload.length, 0)
      const since = await app.inject({ url: '/', headers: { ...accept, 'if-modified-since': 'Wed, 01 Jan 2020 00:00:00 GMT' } })
      assert.equal(since.statusCode, 304)
      if (first.headers['content-encoding'] !== undefined) assert.notEqual(since.headers.etag, '"v1"', 'a strong tag would name the encoded bytes')
      assert.equal(computed, 1)
      assert.equal((await app.inject({ method: 'HEAD', url: '/', headers: { ...accept, 'if-none-match': '*' } })).statusCode, 304)
      computed = 0
    }
  }
})

test('notModified is false for other methods and for other versions, and refuses what is no date', async () => {
  const app = await make()
  const answers: unknown[] = []
  app.route({ method: ['GET', 'POST'], url: '/', handler: async (_request, reply) => { answers.push(reply.notModified({ etag: '"v1"' })); return 'x' } })
  app.get('/date', async (_request, reply) => reply.notModified({ lastModified: 'soon' }))
  await app.inject({ method: 'POST', url: '/', headers: { 'if-none-match': '"v1"' } })
  await app.inject({ url: '/', headers: { 'if-none-match': '"v2"' } })
  assert.deepEqual(answers, [false, false])
  assert.equal((await app.inject('/date')).json().code, 'FST_SURGE_BAD_OPTION')
})

test('what a client excludes it does not get: 406, unless onUnsupportedEncoding answers', async () => {
  const app = await make()
  app.get('/', async () => LARGE)
  app.post('/', async () => LARGE)
  app.get('/image', (_request, reply) => { reply.type('image/png').send(Buffer.alloc(2000)) })
  const none = { 'accept-encoding': '*;q=0' }
  const refused = await app.inject({ url: '/', headers: none })
  assert.equal(refused.statusCode, 406)
  assert.equal(refused.json().code, 'FST_SURGE_NOT_ACCEPTABLE')
  assert.equal((await app.inject({ method: 'POST', url: '/', headers: none })).statusCode, 200, 'the handler did its work already')
  assert.equal((await app.inject({ url: '/image', headers: none })).statusCode, 200)
  assert.equal((await app.inject({ url: '/', headers: { 'accept-encoding': 'hello' } })).statusCode, 200)

  const asked = await make({
    onUnsupportedEncoding (encoding, _request, reply) {
      if (encoding === 'throw') throw new Error('no')
      reply.code(406)
      return `no ${encoding}`
    }
  })
  asked.get('/', async () => LARGE)
  const own = await asked.inject({ url: '/', headers: { 'accept-encoding': 'hello' } })
  assert.equal(own.statusCode, 406)
  assert.equal(own.payload, 'no hello')
  assert.equal((await asked.inject({ url: '/', headers: { 'accept-encoding': 'throw' } })).statusCode, 500)
  assert.equal((await asked.inject({ url: '/', headers: gzip })).statusCode, 200)
})

test('BREACH: a route opts out of encoding and keeps its tag', async () => {
  const app = await make()
  app.get('/a', { compress: false }, async () => LARGE)
  app.get('/b', { config: { compression: { encodings: ['identity'] } } }, async () => LARGE)
  app.get('/c', { compress: false, config: { compression: { threshold: 1 } } }, (_request, reply) => { reply.compress(LARGE as any) })
  for (const url of ['/a', '/b', '/c']) {
    const reply = await app.inject({ url, headers: { 'accept-encoding': 'br, gzip, *' } })
    assert.equal(reply.headers['content-encoding'], undefined, url)
    assert.match(String(reply.headers.etag), /^"/, url)
    assert.deepEqual(reply.json(), LARGE)
  }
})

test('config.compression: false leaves the replies of a route alone', async () => {
  const app = await make()
  app.get('/', { config: { compression: false } }, (_request, reply) => { reply.compress(LARGE as any) })
  const reply = await app.inject({ url: '/', headers: gzip })
  assert.equal(reply.headers.etag, undefined)
  assert.equal(reply.headers.vary, undefined)
  assert.deepEqual(reply.json(), LARGE)
})

test("a route's options are laid over the global ones and reset none (fastify-compress#340)", async () => {
  const app = await make({ encodings: ['gzip'], threshold: 10, onUnsupportedEncoding: () => 'unsupported' })
  app.get('/compress', { compress: { threshold: 20 } }, async () => 'x'.repeat(25))
  app.get('/config', { config: { compression: { threshold: 30 } } }, async () => 'x'.repeat(25))
  app.get('/both', { compress: { threshold: 30 }, config: { compression: { threshold: 5 } } }, async () => 'x'.repeat(25))
  const br = { 'accept-encoding': 'br, gzip' }
  assert.equal((await app.inject({ url: '/compress', headers: br })).headers['content-encoding'], 'gzip')
  assert.equal((await app.inject({ url: '/config', headers: br })).headers['content-encoding'], undefined)
  assert.equal((await app.inject({ url: '/both', headers: br })).headers['content-encoding'], 'gzip')
  assert.equal((await app.inject({ url: '/compress', headers: { 'accept-encoding': 'br' } })).payload, 'unsupported')
})

test("the umbrella's override configures a route that another plugin declares", async () => {
  const app = Fastify()
  setSuiteState(app, { dryRun: false, onRefused: undefined, routes: { '/theirs': { compression: false } } })
  await app.register(compression)
  app.get('/theirs', async () => LARGE)
  assert.equal((await app.inject({ url: '/theirs', headers: gzip })).headers['content-encoding'], undefined)
})

test('global: false encodes on demand, and tags everything', async () => {
  const app = await make({ global: false })
  app.get('/plain', async () => LARGE)
  app.get('/call', (_request, reply) => { reply.compress(LARGE as any) })
  app.get('/asks', { compress: {} }, async () => LARGE)
  const plain = await app.inject({ url: '/plain', headers: gzip })
  assert.equal(plain.headers['content-encoding'], undefined)
  assert.equal(plain.headers.vary, undefined)
  assert.ok(plain.headers.etag)
  for (const url of ['/call', '/asks']) assert.equal((await app.inject({ url, headers: gzip })).headers['content-encoding'], 'gzip', url)
})

test('reply.compress takes what its type says', async () => {
  const app = await make()
  const inputs: Record<string, () => any> = {
    string: () => TEXT,
    buffer: () => Buffer.from(TEXT),
    array: () => new Uint8Array(Buffer.from(TEXT)),
    arrayBuffer: () => new Uint8Array(Buffer.from(TEXT)).buffer,
    stream: () => Readable.from([TEXT]),
    web: () => new Blob([TEXT]).stream(),
    response: () => new Response(TEXT),
    iterable: () => new Set([TEXT.slice(0, 9), TEXT.slice(9)]),
    async: async function * () { yield TEXT.slice(0, 9); yield TEXT.slice(9) }
  }
  app.get('/:kind', (request, reply) => { reply.compress(inputs[(request.params as { kind: string }).kind]!()) })
  app.get('/nothing', async (_request, reply) => reply.compress(null as any))
  app.get('/await', async (_request, reply) => reply.compress(Readable.from([TEXT])))
  for (const kind of [...Object.keys(inputs), 'await']) {
    const reply = await app.inject({ url: `/${kind}`, headers: gzip })
    assert.equal(reply.headers['content-encoding'], 'gzip', kind)
    assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), TEXT, kind)
  }
  assert.equal((await app.inject({ url: '/nothing', headers: gzip })).statusCode, 500)
})

test('brotli keeps quality 4 when other parameters are set', async () => {
  const { constants } = zlib
  const seen: any[] = []
  const spy = { ...zlib, brotliCompressSync: (body: any, options: any) => { seen.push(options); return zlib.brotliCompressSync(body, options) } }
  const app = await make({ zlib: spy, brotliOptions: { params: { [constants.BROTLI_PARAM_LGWIN]: 18 } } })
  app.get('/', async () => TEXT)
  await app.inject({ url: '/', headers: { 'accept-encoding': 'br' } })
  assert.deepEqual(seen.at(-1).params, { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_LGWIN]: 18 })
})

test('a zlib that replaces the stream only is used for whole bodies too', async () => {
  let streams = 0
  const app = await make({ zlib: { createGzip: (options: any) => { streams++; return zlib.createGzip(options) } } })
  app.get('/', async () => TEXT)
  const reply = await app.inject({ url: '/', headers: gzip })
  assert.equal(streams, 1)
  assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), TEXT)
})

test('customTypes widens, mime-db knows the rest, event streams stay plain whatever it says', async () => {
  const app = await make({ customTypes: /^(application\/x-mine|text\/event-stream)$/ })
  app.get('/', (request, reply) => { reply.type((request.query as { type: string }).type).send(TEXT) })
  for (const [type, coding] of [['application/x-mine', 'gzip'], ['image/svg+xml', 'gzip'], ['application/wasm', 'gzip'], ['application/zip', undefined], ['text/event-stream', undefined], ['application/x-other', undefined]] as const) {
    assert.equal((await app.inject({ url: '/', query: { type }, headers: gzip })).headers['content-encoding'], coding, type)
  }
})

test('inflateIfDeflated: a payload that is compressed arrives decoded, or under its own label', async () => {
  const app = await make({ inflateIfDeflated: true })
  app.get('/whole', (_request, reply) => { reply.type('text/plain').send(zlib.gzipSync(TEXT)) })
  app.get('/stream', (_request, reply) => { reply.type('text/plain').send(Readable.from([zlib.deflateSync(TEXT)])) })
  app.get('/plain', (_request, reply) => { reply.type('text/plain').send(TEXT) })
  for (const url of ['/whole', '/stream', '/plain']) {
    assert.equal((await app.inject(url)).payload, TEXT, url)
    const reply = await app.inject({ url, headers: { 'accept-encoding': 'br' } })
    assert.equal(zlib.brotliDecompressSync(reply.rawPayload).toString(), TEXT, url)
  }
})

test('removeContentLengthHeader: false keeps the length that the app set', async () => {
  const app = await make({ removeContentLengthHeader: false })
  const encoded = zlib.gzipSync(TEXT)
  app.get('/', (_request, reply) => { reply.type('text/plain').header('content-length', encoded.length).send(Readable.from([TEXT])) })
  assert.equal((await app.inject({ url: '/', headers: gzip })).headers['content-length'], String(encoded.length))
  const usual = await make()
  usual.get('/', (_request, reply) => { reply.type('text/plain').header('content-length', TEXT.length).send(Readable.from([TEXT])) })
  assert.equal((await usual.inject({ url: '/', headers: gzip })).headers['content-length'], undefined)
  assert.equal((await usual.inject({ url: '/' })).headers['content-length'], String(TEXT.length))
})

test('hashFn and algorithm make the tag, as with @fastify/etag', async () => {
  const mine = await make({ hashFn: payload => `n${payload.length}` })
  mine.get('/', async () => 'four')
  assert.equal((await mine.inject('/')).headers.etag, '"n4"')
  const sha1 = await make({ algorithm: 'sha1' })
  sha1.get('/', async () => 'hello')
  const official = Fastify()
  await official.register(officialEtag)
  official.get('/', async () => 'hello')
  assert.equal((await sha1.inject('/')).headers.etag, (await official.inject('/')).headers.etag)
})

test('a weak hash of the app, or its own tag on two bodies, never mixes cached representations', async () => {
  const app = await make({ hashFn: () => 'same' })
  app.get('/:text', (request, reply) => { reply.type('text/plain').send((request.params as { text: string }).text.repeat(4000)) })
  for (let i = 0; i < 3; i++) {
    for (const text of ['a', 'b']) {
      const reply = await app.inject({ url: `/${text}`, headers: gzip })
      assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), text.repeat(4000))
    }
  }
})

test('a body that comes back is encoded twice and then no more; concurrent ones share one compression', async () => {
  let calls = 0
  const spy = {
    ...zlib,
    gzipSync: (body: any, options: any) => { if (body.length > 0) calls++; return zlib.gzipSync(body, options) },
    gzip: (body: any, options: any, done: any) => { calls++; zlib.gzip(body, options, done) }
  }
  for (const [cache, body, sequential, concurrent] of [[{}, TEXT, 2, 2], [{}, LARGE.text, 2, 1], [false, TEXT, 5, 5], [false, LARGE.text, 5, 5]] as const) {
    const get = async (app: FastifyInstance) => {
      const reply = await app.inject({ url: '/', headers: gzip })
      assert.equal(zlib.gunzipSync(reply.rawPayload).toString(), body)
    }
    for (const [want, together] of [[sequential, false], [concurrent, true]] as const) {
      const app = await make({ cache, zlib: spy, syncThreshold: 8192 })
      app.get('/', async () => body)
      await app.ready()
      calls = 0
      if (together) await Promise.all(Array.from({ length: 5 }, () => get(app)))
      else for (let i = 0; i < 5; i++) await get(app)
      assert.equal(calls, want, `cache ${JSON.stringify(cache)}, ${body.length} bytes, ${together ? 'together' : 'one by one'}`)
    }
  }
})

test('a body that cannot be encoded goes out plain, under the plain tag', async () => {
  const broken = { ...zlib, gzip: (_body: any, _options: any, done: any) => setImmediate(done, new Error('out of memory')) }
  const app = await make({ zlib: broken })
  app.get('/', async () => LARGE)
  const reply = await app.inject({ url: '/', headers: gzip })
  assert.deepEqual(reply.json(), LARGE)
  assert.equal(reply.headers['content-encoding'], undefined)
  assert.equal(reply.headers.etag, (await app.inject('/')).headers.etag)
})

test('a bad option fails at boot, in the plugin and in a route', async () => {
  for (const [options, message] of [
    [{ treshold: 1 }, /Did you mean `threshold`/],
    [{ threshold: -1 }, /compression\.threshold.*≥ 0/],
    [{ encodings: ['gzib'] }, /compression\.encodings/],
    [{ encodings: [] }, /compression\.encodings/],
    [{ etag: 'strong' }, /'weak-when-encoded'/],
    [{ cache: { maxByte: 1 } }, /Did you mean `maxBytes`/],
    [{ zlibOptions: { level: 99 } }, /zlibOptions.*level/],
    [{ brotliOptions: { params: { 999999: 1 } } }, /brotliOptions/],
    [{ algorithm: 'sha0815' }, /node:crypto/],
    [{ algorithm: 'sha1', hashFn: () => '' }, /got both/]
  ] as const) {
    await assert.rejects(make(options as any), { code: 'FST_SURGE_BAD_OPTION', message })
  }
  const app = await make()
  for (const [route, message] of [
    [{ config: { compression: { treshold: 1 } } }, /config\.compression of GET \/ *.*threshold/],
    [{ config: { compression: 'off' } }, /true, false or an object/],
    [{ config: { compression: { cache: {} } } }, /cache/],
    [{ compress: { encoding: ['gzip'] } }, /`compress of GET \/\.encoding`.*encodings/],
    [{ compress: true }, /false or an object/],
    [{ decompress: {} }, /leaves request bodies as they are/]
  ] as const) {
    assert.throws(() => app.get('/', route as any, async () => 'x'), { code: 'FST_SURGE_BAD_OPTION', message })
  }
})

test('an official plugin on the app is a clash, before or behind, in a child as well', async () => {
  for (const [official, name] of [[officialCompress, '@fastify/compress'], [officialEtag, '@fastify/etag']] as const) {
    const before = Fastify()
    await before.register(official as any)
    await assert.rejects(async () => { await before.register(compression) }, { code: 'FST_SURGE_CLASH', message: new RegExp(`${name} is already registered`) })

    const behind = await make()
    behind.register(official as any)
    behind.get('/', async () => 'x')
    await assert.rejects(async () => { await behind.ready() }, { code: 'FST_SURGE_CLASH', message: new RegExp(`${name} was registered after`) })

    const inside = await make()
    inside.register(async child => {
      await child.register(official as any)
      child.get('/', async () => 'x')
    })
    await assert.rejects(async () => { await inside.ready() }, { code: 'FST_SURGE_CLASH' })
  }
})

test('a decorator that is taken is a clash, and other decorators pass', async () => {
  const app = Fastify()
  app.decorateReply('notModified', function () { return false })
  await assert.rejects(async () => { await app.register(compression) }, { code: 'FST_SURGE_CLASH', message: /reply\.notModified/ })
  const other = await make()
  other.decorateReply('mine', 1)
  other.register(async child => { child.decorateReply('theirs', 2) })
  await other.ready()
  assert.ok(other.hasReplyDecorator('mine'))
})

test('two siblings each have their own, a context below one has not', async () => {
  const app = Fastify()
  app.register(async child => { await child.register(compression, { encodings: ['gzip'] }); child.get('/a', async () => LARGE) })
  app.register(async child => { await child.register(compression, { encodings: ['br'] }); child.get('/b', async () => LARGE) })
  app.get('/none', async () => LARGE)
  const both = { 'accept-encoding': 'br, gzip' }
  assert.equal((await app.inject({ url: '/a', headers: both })).headers['content-encoding'], 'gzip')
  assert.equal((await app.inject({ url: '/b', headers: both })).headers['content-encoding'], 'br')
  assert.equal((await app.inject({ url: '/none', headers: both })).headers.etag, undefined)
  const twice = await make()
  await assert.rejects(async () => { await twice.register(compression) }, { code: 'FST_SURGE_DUPLICATE' })
})
