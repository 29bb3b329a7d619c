// `config.compression.version`: what is answered without the handler is what the handler would have answered, and
// never what was made for somebody else.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type LightMyRequestResponse, type RouteShorthandOptions } from 'fastify'
import compression, { type CompressionOptions, type RouteCompression, type VersionOf } from '../../plugins/compression/index.ts'

const TEXT = 'all work and no play makes Jack a dull boy. '.repeat(60)
const gzip = { 'accept-encoding': 'gzip' }

interface Served { app: FastifyInstance, runs: () => number, get: (headers?: Record<string, string>, url?: string) => Promise<LightMyRequestResponse> }

/** A route of text with a version, and how often its handler ran. */
async function serve (version: VersionOf, { answer, route = {}, options = {}, config = {} }: { answer?: (request: FastifyRequest, reply: FastifyReply) => unknown, route?: RouteShorthandOptions, options?: CompressionOptions, config?: Exclude<RouteCompression, boolean> } = {}): Promise<Served> {
  const app = Fastify()
  let runs = 0
  await app.register(compression, options)
  app.get('/*', { ...route, config: { compression: { ...config, version } } }, async (request, reply) => {
    runs++
    return answer === undefined ? TEXT : await answer(request, reply)
  })
  return { app, runs: () => runs, get: async (headers = {}, url = '/') => await app.inject({ url, headers }) }
}

function text (reply: LightMyRequestResponse): string {
  return (reply.headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(reply.rawPayload) : reply.rawPayload).toString()
}

test('from the second use on, a version is answered 200 or 304 without the handler, until it changes', async () => {
  let version = 1
  const { app, runs, get } = await serve(() => version)
  for (const accept of [gzip, {}]) {
    const first = await get(accept)
    await get(accept)
    const before = runs()
    const third = await get(accept)
    assert.equal(runs(), before, 'kept')
    for (const reply of [first, third]) assert.equal(text(reply), TEXT)
    for (const field of ['etag', 'vary', 'content-type', 'content-length', 'content-encoding']) assert.equal(third.headers[field], first.headers[field], field)

    const head = await app.inject({ method: 'HEAD', url: '/', headers: accept })
    for (const field of ['etag', 'vary', 'content-type', 'content-length', 'content-encoding']) assert.equal(head.headers[field], first.headers[field], field)
    assert.equal(head.rawPayload.length, 0)

    const same = await get({ ...accept, 'if-none-match': `"x", ${first.headers.etag}` })
    assert.equal(same.statusCode, 304)
    assert.equal(same.headers.etag, first.headers.etag)
    assert.equal(same.headers.vary, 'accept-encoding')
    for (const field of ['content-type', 'content-length', 'content-encoding']) assert.equal(same.headers[field], undefined, field)
    assert.equal(runs(), before)
  }
  version++
  const before = runs()
  await get(gzip)
  assert.equal(runs(), before + 1)
})

test('what was made for one client is not sent to another, unless it is public', async () => {
  const clients = [{}, { authorization: 'Bearer a' }, { authorization: 'Bearer b' }, { cookie: 'id=a' }, { cookie: 'id=b' }, { authorization: 'Bearer a', cookie: 'id=b' }] as Array<Record<string, string>>
  const own = await serve(() => 'v1', { answer: ({ headers }) => `${TEXT} for ${headers.authorization} ${headers.cookie}` })
  for (let round = 0; round < 4; round++) {
    for (const client of clients) assert.equal(text(await own.get({ ...gzip, ...client })), `${TEXT} for ${client.authorization} ${client.cookie}`)
  }
  assert.equal(own.runs(), 2 * clients.length)

  const shared = await serve(() => 'v1', { answer: (_request, reply) => { reply.header('cache-control', 'public, max-age=60'); return TEXT } })
  for (const client of clients) assert.equal((await shared.get({ ...gzip, ...client })).headers['cache-control'], 'public, max-age=60')
  assert.equal(shared.runs(), 2)
})

test('url, query, host, coding and the fields of Vary tell representations apart', async () => {
  const { runs, get } = await serve(() => 'v1', {
    answer: ({ url, host, headers }, reply) => {
      reply.header('vary', 'Accept-Language')
      return `${TEXT} ${url} ${host} ${headers['accept-language']}`
    }
  })
  const requests: Array<[string, Record<string, string>]> = ['/a', '/a?page=1', '/a?page=2', '/b'].flatMap(url =>
    [{}, { host: 'one.example' }, { 'accept-language': 'de' }, { 'accept-language': 'fr' }].flatMap(headers =>
      [{}, gzip].map(accept => [url, { ...headers, ...accept }] as [string, Record<string, string>])))
  for (let round = 0; round < 4; round++) {
    for (const [url, headers] of requests) {
      const reply = await get(headers, url)
      assert.equal(text(reply), `${TEXT} ${url} ${headers.host ?? 'localhost:80'} ${headers['accept-language']}`)
      assert.equal(reply.headers.vary, 'Accept-Language, accept-encoding')
    }
  }
  assert.equal(runs(), 2 * requests.length)
})

test('replies that may not be kept are not', async () => {
  const answers: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
    'no-store': (_request, reply) => { reply.header('cache-control', 'no-store'); return TEXT },
    'private to nobody that can be told': (_request, reply) => { reply.header('cache-control', 'Private'); return TEXT },
    'a cookie': (_request, reply) => { reply.header('set-cookie', 'a=b'); return TEXT },
    'a cookie beside that of a hook': (_request, reply) => { reply.header('set-cookie', ['h=1']); reply.header('set-cookie', 'a=b'); return TEXT },
    'varies by anything': (_request, reply) => { reply.header('vary', '*'); return TEXT },
    'varies by too much': (_request, reply) => { reply.header('vary', 'a, b, c, d, e, f, g, h, i'); return TEXT },
    'not found': (_request, reply) => { reply.code(404); return TEXT },
    created: (_request, reply) => { reply.code(201); return TEXT },
    stream: (_request, reply) => { reply.type('text/plain'); return Readable.from([TEXT]) },
    fails: () => { throw new Error('no') }
  }
  for (const [name, answer] of Object.entries(answers)) {
    const { runs, get } = await serve(() => 'v1', { answer })
    for (let i = 0; i < 4; i++) await get(gzip)
    assert.equal(runs(), 4, name)
  }
})

test('an unknown, failing or changing version leaves it to the handler', async () => {
  for (const [name, version] of Object.entries<VersionOf>({
    undefined: () => undefined,
    null: async () => null,
    throws: () => { throw new Error('no store') },
    'throws nothing': () => { throw undefined }, // eslint-disable-line no-throw-literal
    'a Date, of which two may be written alike': () => new Date(0) as any,
    'an object': (() => { const state = { n: 0 }; return () => { state.n++; return state as any } })(),
    'a symbol': () => Symbol.for('v') as any,
    'a function': () => fc as any,
    boolean: () => true as any,
    'not a number': () => NaN,
    'a thenable that fails': () => ({ then (_resolve: unknown, reject: (error: Error) => void) { reject(new Error('no store')) } }) as any,
    'a promise of an object': async () => ({}) as any,
    rejects: async () => { throw new Error('no store') },
    changes: () => Math.random(),
    'changes under the handler': (() => { let calls = 0; return () => (calls++ % 2 === 0) ? 'before' : 'after' })()
  })) {
    const { runs, get } = await serve(version)
    for (let i = 0; i < 4; i++) assert.equal(text(await get(gzip)), TEXT, name)
    assert.equal(runs(), 4, name)
  }
})

test('a version may be a promise, and a handler may send by itself', async () => {
  const thenable = { then (resolve: (version: number) => void) { resolve(7) } } as unknown as Promise<number>
  for (const [url, version] of [['/now', () => 7], ['/later', async () => 7], ['/big', () => 7n], ['/thenable', () => thenable], ['/empty', () => ''], ['/zero', () => 0]] as const) {
    const app = Fastify()
    await app.register(compression)
    let runs = 0
    app.get(url, { config: { compression: { version } } }, (_request, reply) => {
      runs++
      setImmediate(() => reply.send(TEXT))
    })
    for (let i = 0; i < 4; i++) assert.equal(text(await app.inject({ url, headers: gzip })), TEXT)
    assert.equal(runs, 2, url)
  }
})

test('every hook in front of the handler runs, even one that was attached to the route behind ours', async () => {
  const revoked = new Set<string>()
  for (const place of ['instance', 'route', 'onRoute'] as const) {
    const app = Fastify()
    await app.register(compression)
    const authenticate = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      return revoked.has(request.headers.authorization!) ? await reply.code(401).send('revoked') : undefined
    }
    if (place === 'instance') app.addHook('preHandler', authenticate)
    if (place === 'onRoute') app.addHook('onRoute', route => { route.preHandler = [route.preHandler ?? [], authenticate].flat() as any })
    app.get('/', { config: { compression: { version: () => 1 } }, ...(place === 'route' ? { preHandler: authenticate } : {}) }, async (_request, reply) => { reply.header('cache-control', 'public'); return TEXT })
    const headers = { authorization: 'Bearer a' }
    for (let i = 0; i < 3; i++) assert.equal((await app.inject({ url: '/', headers })).statusCode, 200)
    revoked.add('Bearer a')
    assert.equal((await app.inject({ url: '/', headers })).statusCode, 401, place)
    revoked.clear()
  }
})

test("the app's onSend hooks run and set their fields anew; their work on the payload is not done twice", async () => {
  let requests = 0
  const { app, runs, get } = await serve(() => 'v1', { answer: (_request, reply) => { reply.header('x-total', '7').removeHeader('x-powered-by'); return TEXT } })
  app.addHook('onRequest', async (_request, reply) => { reply.header('x-request', ++requests).header('x-powered-by', 'hooks').header('vary', 'Origin') })
  app.addHook('onSend', async (_request, reply, payload) => { reply.header('x-seen', requests).header('set-cookie', 'h=1'); return typeof payload === 'string' ? `${payload}!` : Buffer.from('?') })
  for (let i = 1; i <= 4; i++) {
    const reply = await get(gzip)
    assert.equal(text(reply), `${TEXT}!`)
    assert.equal(reply.headers['x-request'], String(i))
    assert.equal(reply.headers['x-seen'], String(i))
    assert.equal(reply.headers['x-total'], '7')
    assert.equal(reply.headers['x-powered-by'], undefined)
    assert.equal(reply.headers.vary, 'Origin, accept-encoding')
  }
  assert.equal(runs(), 4, 'a hook that sets a cookie behind the handler cannot be told from the handler')

  const plain = await serve(() => 'v1')
  plain.app.addHook('onSend', async (_request, reply, payload) => { reply.header('x-seen', ++requests); return typeof payload === 'string' ? `${payload}!` : Buffer.from('?') })
  const seen = new Set()
  for (let i = 0; i < 4; i++) {
    const reply = await plain.get(gzip)
    assert.equal(text(reply), `${TEXT}!`)
    seen.add(reply.headers['x-seen'])
  }
  assert.equal(plain.runs(), 2)
  assert.equal(seen.size, 4)
})

test('a hook that fails on a kept reply leaves its error without tag and coding', async () => {
  const { app, get } = await serve(() => 'v1')
  let fails = false
  app.addHook('onSend', async () => { if (fails) { fails = false; throw new Error('late') } })
  for (let i = 0; i < 3; i++) await get(gzip)
  fails = true
  const reply = await get(gzip)
  assert.equal(reply.statusCode, 500)
  assert.equal(reply.headers.etag, undefined)
  assert.equal(reply.headers['content-encoding'], undefined)
  assert.equal(reply.json().message, 'late')
})

test('ranges, other methods and failed preconditions are the handler\'s', async () => {
  const app = Fastify()
  await app.register(compression)
  let runs = 0
  app.route({ method: ['GET', 'POST'], url: '/', config: { compression: { version: () => 1 } }, handler: async () => { runs++; return TEXT } })
  for (let i = 0; i < 3; i++) await app.inject({ url: '/', headers: gzip })
  assert.equal(runs, 2)
  await app.inject({ url: '/', headers: { ...gzip, range: 'bytes=0-1' } })
  await app.inject({ method: 'POST', url: '/', headers: gzip })
  assert.equal(runs, 4)
  const failed = await app.inject({ url: '/', headers: { ...gzip, 'if-match': '"x"' } })
  assert.equal(failed.statusCode, 412)
  assert.equal(runs, 5)
  assert.equal((await app.inject({ url: '/', headers: { 'accept-encoding': '*;q=0' } })).statusCode, 406)
})

test('a version that cannot have an effect fails at boot', async () => {
  const app = Fastify()
  await app.register(compression)
  const version = (): number => 1
  assert.throws(() => app.post('/', { config: { compression: { version } } }, async () => ''), { code: 'FST_SURGE_BAD_OPTION', message: /only replies to GET and HEAD/ })
  assert.throws(() => app.get('/', { config: { compression: { version: 'v1' as any } } }, async () => ''), { code: 'FST_SURGE_BAD_OPTION', message: /a function/ })
  await assert.rejects(async () => { await Fastify().register(compression, { version } as any) }, { code: 'FST_SURGE_BAD_OPTION' })
  const uncached = Fastify()
  await uncached.register(compression, { cache: false })
  assert.throws(() => uncached.get('/', { config: { compression: { version } } }, async () => ''), { code: 'FST_SURGE_BAD_OPTION', message: /cache: false/ })
})

test('whatever is asked in whatever order, the answer is the one of a server without versions', async () => {
  let state = { version: 1 }
  const make = async (version: VersionOf | undefined, etag: CompressionOptions['etag']): Promise<FastifyInstance> => {
    const app = Fastify()
    await app.register(compression, { etag, encodings: ['br', 'gzip'], threshold: 200 })
    app.addHook('onRequest', async (request, reply) => { reply.header('x-id', String(request.headers['x-id'])).header('vary', 'Origin') })
    app.get('/:kind', { config: { compression: { version } } }, async (request, reply) => {
      const { kind } = request.params as { kind: string }
      const { authorization, 'accept-language': language } = request.headers
      const body = `${state.version} ${kind} ${request.url} `
      if (kind === 'public') return await reply.header('cache-control', 'public').header('last-modified', 'Sun, 06 Nov 1994 08:49:37 GMT').send(body.repeat(50))
      if (kind === 'small') return body
      if (kind === 'image') return await reply.type('image/png').send(Buffer.from(body.repeat(50)))
      if (kind === 'language') return await reply.header('vary', 'Origin, Accept-Language').send(`${body} ${language}`.repeat(50))
      if (kind === 'tagged') return await reply.header('etag', `"${state.version}"`).send(body.repeat(50))
      if (kind === 'missing') return await reply.code(404).send({ authorization })
      return { body: body.repeat(50), authorization }
    })
    return app
  }
  for (const etag of ['weak-when-encoded', 'per-encoding', 'weak', false] as const) {
    const apps = [await make(undefined, etag), await make(() => state.version, etag)] as const
    const request = fc.record({
      bump: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
      method: fc.constantFrom('GET', 'GET', 'HEAD'),
      url: fc.constantFrom('/public', '/small', '/image', '/language', '/tagged', '/missing', '/own', '/own?a=1'),
      headers: fc.record({
        'accept-encoding': fc.constantFrom('gzip', 'br, gzip', 'identity;q=0, br', '*;q=0'),
        authorization: fc.constantFrom('a', 'b'),
        'accept-language': fc.constantFrom('de', 'fr'),
        'if-none-match': fc.constantFrom('same', '*', '"x"'),
        'if-modified-since': fc.constant('Sun, 06 Nov 1994 08:49:37 GMT'),
        'if-match': fc.constantFrom('same', '"x"'),
        'x-id': fc.constantFrom('1', '2')
      }, { requiredKeys: [] })
    })
    await fc.assert(fc.asyncProperty(fc.array(request, { minLength: 20, maxLength: 60 }), async requests => {
      const tags = new Map<string, string>()
      for (const { bump, method, url, headers } of requests) {
        if (bump) state = { version: state.version + 1 }
        const asked = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value === 'same' ? tags.get(url) ?? '"none"' : value]))
        const [want, got] = await Promise.all(apps.map(async app => await app.inject({ method: method as 'GET', url, headers: asked })))
        delete want!.headers.date
        delete got!.headers.date
        assert.equal(got!.statusCode, want!.statusCode)
        assert.deepEqual({ ...got!.headers }, { ...want!.headers })
        assert.ok(got!.rawPayload.equals(want!.rawPayload))
        if (got!.headers.etag !== undefined) tags.set(url, String(got!.headers.etag))
      }
    }), { numRuns: 30 })
  }
})
