import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { Readable, Transform } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { availableEncodings } from '../../plugins/json-stream/encodings.ts'
import jsonStream, { type JsonStreamOptions, type RouteJsonStreamOptions } from '../../plugins/json-stream/index.ts'
import { setSuiteState } from '../../plugins/shared/suite-state.ts'
import { deferred, listen, RawClient } from './server.ts'

/** POST /import that answers what it read. */
function collecting (config: true | RouteJsonStreamOptions = true, schema?: object) {
  return (app: FastifyInstance) => {
    app.post('/import', { config: { jsonStream: config }, schema }, async request => {
      const stream = request.jsonStream()
      const rows = []
      for await (const row of stream) rows.push(row)
      return { rows, index: stream.index, bytesRead: stream.bytesRead }
    })
  }
}

async function collect<T> (stream: AsyncIterable<T>): Promise<T[]> {
  const values = []
  for await (const value of stream) values.push(value)
  return values
}

async function post (url: string, body: any, headers: Record<string, string> = {}) {
  const reply = await fetch(`${url}/import`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers }, duplex: 'half' } as any)
  return { status: reply.status, connection: reply.headers.get('connection'), headers: reply.headers, body: await reply.json() as any }
}

async function boot (declare: (app: FastifyInstance) => void, options: JsonStreamOptions = {}, server = {}): Promise<FastifyInstance> {
  const app = Fastify(server)
  await app.register(jsonStream, options)
  declare(app)
  return app
}

const badOption = { code: 'FST_SURGE_BAD_OPTION' }

test('elements arrive one by one, in batches, from NDJSON, a path or a selection', async t => {
  const { url } = await listen(t, app => {
    collecting()(app)
    app.post('/batches', { config: { jsonStream: true } }, async request => {
      const sizes = []
      for await (const batch of request.jsonStream().batches()) sizes.push(batch.length)
      return sizes.reduce((sum, size) => sum + size, 0)
    })
    app.post('/path', { config: { jsonStream: { path: 'data.items' } } }, async request => await collect(request.jsonStream()))
    app.post('/select', { config: { jsonStream: { select: { match: 'data.*', as: 'elements' } } } }, async request => await collect(request.jsonStream()))
  })
  assert.deepEqual((await post(url, '[1,{"a":"é"}]')).body, { rows: [1, { a: 'é' }], index: 1, bytesRead: 14 })
  assert.deepEqual((await post(url, '[]')).body, { rows: [], index: -1, bytesRead: 2 })
  for (const type of ['application/x-ndjson', 'application/jsonl', 'application/x-ndjson; charset=utf-8']) {
    assert.deepEqual((await post(url, '1\n{"a":2}\n3', { 'content-type': type })).body.rows, [1, { a: 2 }, 3])
  }
  const text = async (path: string, body: string) => await (await fetch(url + path, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).text()
  assert.equal(await text('/batches', JSON.stringify(Array.from({ length: 50_000 }, (_, id) => ({ id })))), '50000')
  assert.equal(await text('/path', '{"data":{"items":[1,2]}}'), '[1,2]')
  assert.equal(await text('/select', '{"data":{"a":[1],"b":[2,3]}}'), '[1,2,3]')
})

test('each refusal has its status and code, and the elements before it were delivered', async t => {
  const { url } = await listen(t, collecting({ limits: { maxBytes: 2000, maxElementBytes: 100, maxItems: 5, maxDepth: 4 } }))
  const { url: pathUrl } = await listen(t, collecting({ path: 'a' }))
  const table: Array<[url: string, body: any, status: number, code: string, headers?: Record<string, string>, connection?: string]> = [
    [url, '[1,2,tru]', 400, 'FST_SURGE_JSON_INVALID', {}, 'close'],
    [url, '[1,2', 400, 'FST_SURGE_JSON_TRUNCATED'],
    [url, '', 400, 'FST_SURGE_JSON_TRUNCATED'],
    [url, '[[[[[1]]]]]', 400, 'FST_SURGE_JSON_TOO_DEEP'],
    [url, Buffer.from('["\xff"]', 'latin1'), 400, 'FST_SURGE_JSON_NOT_UTF8'],
    [url, '[{"__proto__":{}}]', 400, 'FST_SURGE_JSON_PROTOTYPE'],
    [url, '[{"constructor":{"prototype":{}}}]', 400, 'FST_SURGE_JSON_PROTOTYPE'],
    [url, `["${'x'.repeat(200)}"]`, 413, 'FST_SURGE_JSON_ELEMENT_TOO_LARGE', {}, 'close'],
    [url, '[1,2,3,4,5,6]', 413, 'FST_SURGE_JSON_TOO_MANY_ITEMS', {}, 'close'],
    [url, ' '.repeat(2001), 413, 'FST_SURGE_JSON_TOO_LARGE', {}, 'close'],
    [url, Readable.toWeb(Readable.from([Buffer.from(' '.repeat(1000)), Buffer.from(' '.repeat(1001))])), 413, 'FST_SURGE_JSON_TOO_LARGE', {}, 'close'],
    [url, '[1]', 415, 'FST_SURGE_JSON_MEDIA_TYPE', { 'content-type': 'text/plain' }],
    [url, '[1]', 415, 'FST_SURGE_JSON_CONTENT_ENCODING', { 'content-encoding': 'compress' }],
    [url, '[1]', 415, 'FST_SURGE_JSON_CONTENT_ENCODING', { 'content-encoding': 'gzip, gzip' }],
    [url, 'no gzip', 400, 'FST_SURGE_JSON_ENCODING', { 'content-encoding': 'gzip' }],
    [pathUrl, '{"b":[1]}', 400, 'FST_SURGE_JSON_SHAPE'],
    [pathUrl, '1', 415, 'FST_SURGE_JSON_MEDIA_TYPE', { 'content-type': 'application/x-ndjson' }]
  ]
  for (const [target, body, status, code, headers, connection] of table) {
    const reply = await post(target, body, headers)
    assert.deepEqual([reply.status, reply.body.code], [status, code], String(body).slice(0, 40))
    if (connection !== undefined) assert.equal(reply.connection, connection, code)
  }
})

test('a refusal says in its index and offset where, and never quotes the body', async t => {
  let seen: any
  const { url } = await listen(t, app => {
    app.addHook('onError', async (_request, _reply, error) => { seen = error })
    collecting()(app)
  })
  const reply = await post(url, '[1,2,"secret" oops]')
  assert.deepEqual([seen.index, seen.offset], [2, 14])
  assert.doesNotMatch(JSON.stringify(reply.body), /secret|oops/)
})

test('ordinary routes keep their parser, its limits and its errors', async t => {
  const { url } = await listen(t, app => {
    app.post('/import', async request => request.body)
    app.post('/stream', { config: { jsonStream: true } }, async () => 'unread')
  })
  assert.deepEqual((await post(url, '{"a":1}')).body, { a: 1 })
  assert.equal((await post(url, '{"a":')).body.code, 'FST_ERR_CTP_INVALID_JSON_BODY')
  assert.equal((await post(url, '1', { 'content-type': 'application/x-ndjson' })).body.code, 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
  assert.equal((await post(url, `"${'x'.repeat(1_048_576)}"`)).status, 413)
})

test('hooks see the real headers, and no parser of the app is asked', async t => {
  const seen: unknown[] = []
  const { url } = await listen(t, app => {
    app.addContentTypeParser('*', () => { throw new Error('asked') })
    app.removeContentTypeParser('application/json')
    app.addHook('preValidation', async request => { seen.push(request.headers['content-type'], request.body) })
    collecting()(app)
  })
  assert.equal((await post(url, '[1]')).status, 200)
  assert.deepEqual(seen, ['application/json', undefined])
})

test('a payload that a preParsing hook has replaced is read as it is', async t => {
  const { url } = await listen(t, app => {
    app.addHook('preParsing', async (_request, _reply, payload) => {
      const decoded = payload.pipe(zlib.createGunzip()) as any
      decoded.receivedEncodedLength = 0
      return decoded
    })
    collecting()(app)
  })
  assert.deepEqual((await post(url, zlib.gzipSync('[1,2]'), { 'content-encoding': 'gzip' })).body.rows, [1, 2])
})

test('the error of a stream that a preParsing hook put before the body is its own, and 400 unless it says otherwise', { timeout: 10_000 }, async t => {
  const streams: Record<string, () => Transform> = {
    plain: () => new Transform({ transform (_chunk, _encoding, done) { done(new Error('mine')) } }),
    coded: () => new Transform({ transform (_chunk, _encoding, done) { done(Object.assign(new Error('mine'), { statusCode: 422 })) } }),
    late: () => new Transform({ transform (chunk, _encoding, done) { done(null, chunk) }, flush (done) { done(new Error('mine')) } })
  }
  const { url } = await listen(t, app => {
    app.addHook('preParsing', (request, _reply, payload, done) => done(null, payload.pipe(streams[request.headers['x-stream'] as string]!())))
    collecting()(app)
  })
  for (const [stream, status] of [['plain', 400], ['coded', 422], ['late', 400]] as const) {
    const reply = await post(url, '[1]', { 'x-stream': stream })
    assert.deepEqual([reply.status, reply.body.message], [status, 'mine'], stream)
  }
})

test('a preParsing hook behind json-stream that reads the headers has the body parsed, and is told so', { timeout: 10_000 }, async t => {
  const { url } = await listen(t, app => {
    app.addHook('onRoute', route => {
      route.preParsing = [...[route.preParsing ?? []].flat(), async (request: FastifyRequest) => { assert.ok(request.headers) }]
    })
    collecting()(app)
  })
  for (const body of ['[1]', `["${'x'.repeat(500_000)}"]`]) {
    const reply = await post(url, body)
    assert.deepEqual([reply.status, reply.body.code, reply.connection], [500, 'FST_SURGE_JSON_MISUSE', 'keep-alive'])
  }
})

test('elements are judged by the schema that Fastify compiled, with its defaults, coercion, references and header rules', async t => {
  const row = { type: 'object', required: ['id'], properties: { id: { type: 'integer' }, kind: { type: 'string', default: 'none' }, tag: { $ref: 'tag#' } } }
  const { url } = await listen(t, app => {
    app.addSchema({ $id: 'tag', type: 'string', maxLength: 3 })
    collecting(true, { body: { type: 'array', items: row }, headers: { type: 'object', required: ['X-Tenant'], properties: { 'X-Tenant': { type: 'integer' } } } })(app)
  })
  const headers = { 'x-tenant': '7' }
  assert.deepEqual((await post(url, '[{"id":"1"},{"id":2,"tag":"abc"}]', headers)).body.rows, [{ id: 1, kind: 'none' }, { id: 2, kind: 'none', tag: 'abc' }])
  const failed = await post(url, '[{"id":1},{"id":2,"tag":"abcd"}]', headers)
  assert.equal(failed.status, 400)
  assert.equal(failed.body.message, 'Element 1 /tag must NOT have more than 3 characters')
  assert.match((await post(url, '[]')).body.message, /x-tenant/)
})

test('the schema of the whole body will do where a path leads to the array, and a referenced one too', async t => {
  const array = { type: 'array', items: { type: 'integer' } }
  const { url } = await listen(t, collecting({ path: 'data.items' }, { body: { type: 'object', properties: { data: { type: 'object', properties: { items: array } } } } }))
  assert.equal((await post(url, '{"data":{"items":[1,"x"]}}')).body.code, 'FST_SURGE_JSON_ELEMENT_INVALID')
  const { url: referenced } = await listen(t, app => {
    app.addSchema({ $id: 'rows', ...array })
    collecting(true, { body: { $ref: 'rows#' } })(app)
  })
  assert.deepEqual((await post(referenced, '[1,"2"]')).body.rows, [1, 2])
  assert.equal((await post(referenced, '[1,"x"]')).status, 400)
  await assert.rejects(boot(collecting(true, { body: { type: 'object' } })).then(app => app.ready()), /items/)
})

test('references of a schema mean for its elements what they mean in the whole', async t => {
  const row = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } }
  const rows = { type: 'array', items: row }
  const cases: Array<[name: string, body: any, bad: string, good: string, path?: string]> = [
    ['definitions beside the items', { type: 'array', items: { $ref: '#/definitions/Row' }, definitions: { Row: row } }, '[{}]', '[{"id":"1"}]'],
    ['$defs below the items', { type: 'array', items: { type: 'object', properties: { row: { $ref: '#/$defs/Row' }, tag: { $ref: 'tag#' } } }, $defs: { Row: row } }, '[{"row":{}}]', '[{"row":{"id":1},"tag":"a"}]'],
    ['the whole', { type: 'array', items: { type: 'object', required: ['children'], properties: { children: { $ref: '#' } } } }, '[{"children":[{}]}]', '[{"children":[{"children":[]}]}]'],
    ['its own $id', { $id: 'own', type: 'array', items: { $ref: 'own#/definitions/Row' }, definitions: { Row: row } }, '[{}]', '[{"id":1}]'],
    ['the array', { $ref: '#/definitions/Rows', definitions: { Rows: { type: 'array', items: { $ref: '#/definitions/Row' } }, Row: row } }, '[{}]', '[{"id":1}]'],
    ['the items\' own $id, as TypeBox writes what is recursive', { type: 'array', items: { ...row, $id: 'N', properties: { id: { type: 'integer' }, rows: { type: 'array', items: { $ref: 'N' } } } } }, '[{"id":1,"rows":[{}]}]', '[{"id":1,"rows":[{"id":2}]}]'],
    ['a reference to a reference', { $ref: 'library#/definitions/Rows' }, '[{}]', '[{"id":1}]'],
    ['the whole body, with a path', { $ref: 'whole#' }, '{"a/b":{"rows":[{}]}}', '{"a/b":{"rows":[{"id":1}]}}', 'a/b.rows'],
    ['on the way of a path', { type: 'object', properties: { data: { $ref: 'data#' } } }, '{"data":{"rows":[{}]}}', '{"data":{"rows":[{"id":1}]}}', 'data.rows'],
    ['at the end of a path', { type: 'object', properties: { rows: { $ref: '#/definitions/Rows' } }, definitions: { Rows: rows } }, '{"rows":[{}]}', '{"rows":[{"id":1}]}', 'rows']
  ]
  for (const [name, body, bad, good, path] of cases) {
    const { url } = await listen(t, app => {
      app.addSchema({ $id: 'tag', type: 'string' })
      app.addSchema({ $id: 'library', definitions: { Rows: { $ref: '#/definitions/Real' }, Real: { type: 'array', items: { $ref: '#/definitions/Row' } }, Row: row } })
      app.addSchema({ $id: 'whole', type: 'object', properties: { 'a/b': { $ref: 'data#' } } })
      app.addSchema({ $id: 'data', type: 'object', properties: { rows } })
      collecting(path === undefined ? true : { path }, { body })(app)
    })
    assert.deepEqual([(await post(url, good)).status, (await post(url, bad)).body.code], [200, 'FST_SURGE_JSON_ELEMENT_INVALID'], name)
  }
})

test('with a schema for some media types no other is taken, for its elements would pass unjudged', async t => {
  const schema = { type: 'array', items: { type: 'object', required: ['id'] } }
  const { url } = await listen(t, collecting(true, { body: { content: { 'application/json': { schema }, 'application/jsonl': { schema } } } }))
  assert.equal((await post(url, '[{}]')).body.code, 'FST_SURGE_JSON_ELEMENT_INVALID')
  assert.equal((await post(url, '{}\n', { 'content-type': 'application/jsonl' })).body.code, 'FST_SURGE_JSON_ELEMENT_INVALID')
  const refused = await post(url, '{}\n', { 'content-type': 'application/x-ndjson' })
  assert.deepEqual([refused.status, refused.headers.get('accept')], [415, 'application/json, application/jsonl'])
  await assert.rejects(boot(collecting(true, { body: { content: { 'text/csv': { schema } } } })), badOption)
})

test('a schema of the body that has no items to judge elements by fails at boot', async () => {
  const row = { type: 'object', required: ['id'] }
  for (const body of [{ type: 'array' }, { type: 'array', allOf: [{ items: row }] }, { type: 'array', items: [row] }, { oneOf: [{ type: 'array', items: row }] }, { $ref: '#/definitions/Loop', definitions: { Loop: { $ref: '#/definitions/Loop' } } }]) {
    await assert.rejects(boot(collecting(true, { body })).then(app => app.ready()), /with `items`/, JSON.stringify(body))
  }
  await boot(collecting(true, { body: { type: 'array', items: {} } })).then(app => app.ready())
})

test('a validator compiler of the route judges the elements', async t => {
  const { url } = await listen(t, app => {
    app.post('/import', {
      config: { jsonStream: true },
      schema: { body: { items: { even: true } } },
      validatorCompiler: () => (value: any) => value % 2 === 0 ? { value: value * 10 } : { error: new Error('is odd') }
    }, async request => ({ rows: await collect(request.jsonStream()) }))
  })
  assert.deepEqual((await post(url, '[2,4]')).body.rows, [20, 40])
  assert.equal((await post(url, '[2,3]')).body.message, 'Element 1 is odd')
})

test('a schema that is validated asynchronously fails at boot, and where only its answer shows it, it ends no process', async t => {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  t.after(() => process.off('unhandledRejection', onUnhandled))
  await assert.rejects(boot(collecting(true, { body: { type: 'array', items: { $async: true, type: 'object' } } })).then(app => app.ready()), /\$async/)
  const { url } = await listen(t, app => {
    app.post('/import', {
      config: { jsonStream: true },
      schema: { body: { items: {} } },
      validatorCompiler: () => (async () => { throw new Error('is wrong') }) as any
    }, async request => ({ rows: await collect(request.jsonStream()) }))
  })
  assert.deepEqual([(await post(url, '[1]')).body.code, unhandled], ['FST_SURGE_JSON_MISUSE', []])
})

test('collectErrors skips elements that fail their schema, up to a number, and lists them on the error', async t => {
  const stored: unknown[] = []
  const errors: any[] = []
  const { url } = await listen(t, app => {
    app.addHook('onError', async (_request, _reply, error: any) => { errors.push(error.errors.map((fault: any) => fault.index)) })
    app.post('/import', { config: { jsonStream: { collectErrors: 2 } }, schema: { body: { type: 'array', items: { type: 'integer' } } } }, async request => {
      stored.length = 0
      for await (const row of request.jsonStream()) stored.push(row)
      return stored
    })
  })
  assert.equal((await post(url, '[1,"a",2,"b",3]')).body.message, 'Element 1 must be integer (and 1 more)')
  assert.deepEqual(stored, [1, 2, 3])
  assert.equal((await post(url, '[1,"a",2,"b",3,"c",4]')).status, 400)
  assert.deepEqual(stored, [1, 2, 3])
  assert.deepEqual(errors, [[1, 3], [1, 3, 5]])
})

test('a batch is its consumer\'s, to be emptied, cut or added to', async t => {
  const changes: Record<string, (batch: unknown[]) => unknown> = {
    splice: batch => batch.splice(0, 2),
    shift: batch => batch.shift(),
    push: batch => batch.push('marker'),
    pop: batch => batch.pop()
  }
  const { url } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      const seen = []
      try {
        for await (const batch of stream.batches()) {
          seen.push([...batch])
          changes[request.headers['x-change'] as string]!(batch)
          if (seen.length > 3) break
        }
      } catch (error: any) {
        return { seen, code: error.code, index: stream.index }
      }
      return { seen, index: stream.index }
    })
  })
  for (const change of Object.keys(changes)) {
    assert.deepEqual((await post(url, '[1,2,3]', { 'x-change': change })).body, { seen: [[1, 2, 3]], index: 2 }, change)
    assert.deepEqual((await post(url, '[1,2,3,x]', { 'x-change': change })).body, { seen: [[1, 2, 3]], code: 'FST_SURGE_JSON_INVALID', index: 2 }, change)
  }
})

test('a batch of which no element fits its schema is skipped as its elements are', async t => {
  const { url } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: { collectErrors: 5 } }, schema: { body: { type: 'array', items: { type: 'integer' } } } }, async request => {
      const batches = []
      try {
        for await (const batch of request.jsonStream().batches()) batches.push(batch)
      } catch (error: any) {
        return { batches, errors: error.errors.length }
      }
    })
  })
  assert.deepEqual((await post(url, '["x","y"]')).body, { batches: [], errors: 2 })
})

test('gzip and br bodies are decoded, counted on both sides, and bombs end early', async t => {
  const { url } = await listen(t, collecting({ limits: { maxRatio: 50 } }))
  const body = JSON.stringify(Array.from({ length: 1000 }, (_, id) => ({ id, text: `row ${id}` })))
  for (const [encoding, bytes] of [['gzip', zlib.gzipSync(body)], ['x-gzip', zlib.gzipSync(body)], ['br', zlib.brotliCompressSync(body)], ['identity', body]] as const) {
    const reply = await post(url, bytes, { 'content-encoding': encoding })
    assert.deepEqual([reply.body.rows?.length, reply.body.bytesRead], [1000, body.length], encoding)
  }
  const bomb = zlib.gzipSync('[' + ' '.repeat(20_000_000) + ']')
  assert.deepEqual((await post(url, bomb, { 'content-encoding': 'gzip' })).status, 413)
  const spread = zlib.gzipSync('[' + ('"' + 'x'.repeat(999) + '",').repeat(20_000) + '1]')
  assert.deepEqual((await post(url, spread, { 'content-encoding': 'gzip' })).body.code, 'FST_SURGE_JSON_RATIO')
  const { url: small } = await listen(t, collecting({ limits: { maxBytes: 1000 } }))
  assert.equal((await post(small, zlib.gzipSync(`["${'ab'.repeat(600)}"]`), { 'content-encoding': 'gzip' })).body.code, 'FST_SURGE_JSON_TOO_LARGE')
  const { url: none } = await listen(t, collecting({ encodings: false }))
  assert.equal((await post(none, zlib.gzipSync('[1]'), { 'content-encoding': 'gzip' })).status, 415)
})

test('zstd is decoded where Node has one that tells a cut body, and refused with 415 where not', async t => {
  const { url } = await listen(t, collecting())
  const encoding = { 'content-encoding': 'zstd' }
  if (availableEncodings().includes('zstd')) assert.deepEqual((await post(url, (zlib as any).zstdCompressSync('[1,2]'), encoding)).body.rows, [1, 2])
  else assert.equal((await post(url, '[1,2]', encoding)).status, 415)
})

test('a truncated gzip body is refused behind what it held', async t => {
  const { url } = await listen(t, collecting())
  assert.equal((await post(url, zlib.gzipSync(JSON.stringify(Array(9999).fill(Math.random()))).subarray(0, 40), { 'content-encoding': 'gzip' })).body.code, 'FST_SURGE_JSON_ENCODING')
})

test("the app's onProtoPoisoning and onConstructorPoisoning hold for streamed bodies", async t => {
  const body = '[{"__proto__":{"x":1},"a":1},{"constructor":{"prototype":{}},"a":2},{"\\u005f_proto__":1,"a":3}]'
  const { url } = await listen(t, collecting(), {}, { onProtoPoisoning: 'remove', onConstructorPoisoning: 'remove' })
  assert.deepEqual((await post(url, body)).body.rows, [{ a: 1 }, { a: 2 }, { a: 3 }])
})

test("a route's own bodyLimit is its maxBytes; the app's is not, for it is meant for bodies held in memory", async t => {
  const { url } = await listen(t, app => {
    app.post('/import', { bodyLimit: 10, config: { jsonStream: true } }, async request => await collect(request.jsonStream()))
    app.post('/wide', { config: { jsonStream: true } }, async request => await collect(request.jsonStream()))
  }, {}, { bodyLimit: 10 })
  assert.equal((await post(url, '[1,2,3,4,5]')).body.code, 'FST_SURGE_JSON_TOO_LARGE')
  assert.equal((await fetch(`${url}/wide`, { method: 'POST', body: '[1,2,3,4,5]', headers: { 'content-type': 'application/json' } })).status, 200)
})

test('HTTP/2: elements arrive, a refusal has its status, and a body that is left ends its stream alone', async t => {
  const app = Fastify({ http2: true } as any) as unknown as FastifyInstance
  await app.register(jsonStream)
  app.post('/import', { config: { jsonStream: true } }, async request => {
    const rows = []
    for await (const row of request.jsonStream()) {
      rows.push(row)
      if (row === 'enough') break
    }
    return rows
  })
  const session = http2.connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.after(async () => {
    session.destroy()
    await app.close()
  })
  const exchange = (body: string, end: boolean): Promise<[number, string]> => new Promise(resolve => {
    const stream = session.request({ ':method': 'POST', ':path': '/import', 'content-type': 'application/json' })
    let status = 0
    let text = ''
    stream.on('error', () => {})
    stream.on('response', headers => { status = Number(headers[':status']) })
    stream.on('data', chunk => { text += chunk })
    stream.on('end', () => resolve([status, text]))
    if (end) stream.end(body)
    else stream.write(body)
  })
  assert.deepEqual(await exchange('[1,2]', true), [200, '[1,2]'])
  assert.equal((await exchange('[1,,2]', true))[0], 400)
  assert.deepEqual(await exchange('["enough",1', false), [200, '["enough"]'])
  assert.deepEqual(await exchange('[3]', true), [200, '[3]'])
})

test('it is used once, and only where the route opted in', async t => {
  const { url } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      const codes = []
      try { request.jsonStream() } catch (error: any) { codes.push(error.code) }
      await stream.batches().next()
      try { stream[Symbol.asyncIterator]() } catch (error: any) { codes.push(error.code) }
      return codes
    })
    app.post('/plain', async request => request.jsonStream())
  })
  assert.deepEqual((await post(url, '[1]')).body, ['FST_SURGE_JSON_MISUSE', 'FST_SURGE_JSON_MISUSE'])
  const plain = await fetch(`${url}/plain`, { method: 'POST', body: '[1]', headers: { 'content-type': 'application/json' } })
  assert.equal((await plain.json() as any).code, 'FST_SURGE_JSON_MISUSE')
})

test('elements have the type that Body gives them, null or not', async t => {
  interface Row { id: number }
  const { url } = await listen(t, app => {
    app.post<{ Body: Row[] | null }>('/import', { config: { jsonStream: true } }, async request => {
      const ids: number[] = []
      for await (const row of request.jsonStream()) ids.push(row.id)
      return ids
    })
  })
  assert.deepEqual((await post(url, '[{"id":1}]')).body, [1])
})

test('calls of next() that overlap are answered in order', async t => {
  const { url } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const iterator = request.jsonStream()[Symbol.asyncIterator]()
      return await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()])
    })
  })
  assert.deepEqual((await post(url, '[1,2]')).body, [{ done: false, value: 1 }, { done: false, value: 2 }, { done: true }, { done: true }])
})

test('an early break with little left keeps the connection', async t => {
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      let first
      for await (const row of request.jsonStream()) {
        first = row
        if (row === 1) break
      }
      return { row: first }
    })
  })
  const client = new RawClient(port)
  for (let round = 1; round <= 2; round++) {
    client.start('/import')
    client.chunk('[1,')
    client.chunk('2,'.repeat(50_000) + '3]')
    client.end()
    await client.until(new RegExp(`(?:"row":1[^]*?){${round}}`))
  }
  assert.doesNotMatch(client.received, /connection: close/i)
  client.socket.destroy()
})

test('an early break with much left replies and closes, without reading it all', async t => {
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      let first
      for await (const row of request.jsonStream()) {
        first = row
        if (row === 1) break
      }
      return { row: first }
    })
  })
  const announced = new RawClient(port)
  announced.start('/import', { 'transfer-encoding': '', 'content-length': '50000000' })
  announced.socket.write('[1,2,')
  assert.match(await announced.until(/"row":1/), /connection: close/)
  await announced.closed

  const chunked = new RawClient(port)
  chunked.start('/import')
  chunked.chunk('[1,')
  await chunked.until(/"row":1/)
  await flood(chunked)
})

/** Sends until it is closed, which has to come. */
async function flood (client: RawClient): Promise<void> {
  let sent = 0
  while (!client.socket.destroyed && sent < 50e6) {
    sent += 65_536
    if (!client.chunk('2,'.repeat(32_768))) await Promise.race([once(client.socket, 'drain').catch(() => {}), client.closed])
  }
  assert.ok(sent < 50e6, 'the server read on without limit')
  await client.closed
}

const unread: Record<string, (reply: FastifyReply) => unknown> = {
  'a stream': () => Readable.from(['hello']),
  'a stream that takes a while': () => Readable.from((async function * () {
    yield 'hello'
    await new Promise(resolve => setImmediate(resolve))
    yield '!'
  })()),
  hijacked: reply => {
    reply.hijack()
    reply.raw.end('hello')
  },
  'written raw': reply => {
    reply.raw.end('hello')
    return reply
  }
}

for (const [how, answer] of Object.entries(unread)) {
  test(`a body that nobody reads is not read without limit when the reply is ${how}`, { timeout: 20_000 }, async t => {
    const { port } = await listen(t, app => {
      app.post('/import', { config: { jsonStream: true } }, async (_request, reply) => answer(reply))
    })
    const client = new RawClient(port)
    client.start('/import')
    client.chunk('[1,')
    await client.until(/hello/)
    await flood(client)
  })
}

test('a handler that never asks for its body does not leave it on the connection', async t => {
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async () => ({ ok: true }))
  })
  const client = new RawClient(port)
  for (let round = 1; round <= 2; round++) {
    client.start('/import')
    client.chunk('[1,2]')
    client.end()
    await client.until(new RegExp(`(?:"ok":true[^]*?){${round}}`))
  }
  client.socket.destroy()
})

test('a client that leaves: the iterator rejects, its signal aborts, and what it sent before was delivered', async t => {
  const outcome = deferred<any>()
  const first = deferred()
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      const { signal } = stream
      const rows = []
      try {
        for await (const row of stream) {
          rows.push(row)
          first.resolve()
        }
      } catch (error: any) {
        outcome.resolve({ code: error.code, rows, aborted: signal.aborted })
      }
    })
  })
  const client = new RawClient(port)
  client.start('/import')
  client.chunk('[1,2')
  await first.promise
  client.socket.resetAndDestroy()
  assert.deepEqual(await outcome.promise, { code: 'FST_SURGE_JSON_ABORTED', rows: [1], aborted: true })
})

test('a client that leaves while the handler is busy: no further element, though some were parsed', async t => {
  const outcome = deferred<any>()
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      const rows = []
      try {
        for await (const row of stream) {
          rows.push(row)
          client.socket.resetAndDestroy()
          if (!stream.signal.aborted) await once(stream.signal, 'abort')
        }
      } catch (error: any) {
        outcome.resolve({ code: error.code, rows })
      }
    })
  })
  const client = new RawClient(port)
  client.start('/import')
  client.chunk('[1,2,3,4]')
  assert.deepEqual(await outcome.promise, { code: 'FST_SURGE_JSON_ABORTED', rows: [1] })
})

test('a client that falls silent gets 408 and is closed; a slow consumer does not make it late', async t => {
  const release = deferred()
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: { idleTimeout: 200 } } }, async request => {
      const rows = []
      for await (const row of request.jsonStream()) {
        rows.push(row)
        if (row === 'wait') await release.promise
      }
      return { rows }
    })
  })
  const silent = new RawClient(port)
  silent.start('/import')
  silent.chunk('[1,')
  assert.match(await silent.until(/FST_SURGE_JSON_IDLE/), /^HTTP\/1.1 408[^]*connection: close/)
  await silent.closed

  const patient = new RawClient(port)
  patient.start('/import')
  patient.chunk('["wait",')
  // Three times the idle timeout, in which the handler does not ask for a byte.
  setTimeout(release.resolve, 600)
  await release.promise
  patient.chunk('2]')
  patient.end()
  assert.match(await patient.until(/"rows"/), /^HTTP\/1.1 200/)
  patient.socket.destroy()
})

test('a slow consumer pauses the socket', async t => {
  const release = deferred()
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, async request => {
      const stream = request.jsonStream()
      let held = 0
      for await (const row of stream) {
        if (row === 1) {
          await release.promise
          held = stream.bytesRead
        }
      }
      return { held }
    })
  })
  const client = new RawClient(port)
  client.start('/import')
  client.chunk('[1')
  const piece = ',' + JSON.stringify('x'.repeat(65_000))
  let sent = 0
  // Until the kernel's buffers are full and take no more.
  while (sent < 100e6) {
    sent += piece.length
    if (!client.chunk(piece) && !await Promise.race([once(client.socket, 'drain').then(() => true), new Promise<boolean>(resolve => setTimeout(resolve, 500, false))])) break
  }
  assert.ok(sent < 100e6, 'the server read on while its consumer did not')
  release.resolve()
  client.chunk(']')
  client.end()
  const held = Number(/"held":(\d+)/.exec(await client.until(/"held":\d+/))![1])
  assert.ok(held <= 128 * 1024, `${held} bytes were read ahead`)
  client.socket.destroy()
})

test('a reply can be made of the body while it comes in', async t => {
  const { port } = await listen(t, app => {
    app.post('/import', { config: { jsonStream: true } }, (request, reply) => {
      async function * doubled () {
        for await (const row of request.jsonStream<number>()) yield `${row * 2}\n`
      }
      return reply.type('text/plain').send(Readable.from(doubled()))
    })
  })
  const client = new RawClient(port)
  client.start('/import')
  client.chunk('[1,')
  await client.until(/\r\n2\n/)
  client.chunk('21,')
  await client.until(/\r\n42\n/)
  client.chunk('3]')
  client.end()
  await client.until(/\r\n6\n/)
  client.socket.destroy()
})

test('route settings lie over the plugin\'s, the umbrella\'s overrides over both', async () => {
  const app = Fastify()
  setSuiteState(app, { dryRun: false, onRefused: undefined, routes: { '/import': { jsonStream: { path: 'rows' } }, 'POST /off': { jsonStream: false } } })
  await app.register(jsonStream, { limits: { maxItems: 2 } })
  app.post('/import', async request => await collect(request.jsonStream()))
  app.post('/off', { config: { jsonStream: true } }, async request => request.body)
  app.post('/more', { config: { jsonStream: { limits: { maxDepth: 2 } } } }, async request => await collect(request.jsonStream()))
  const inject = async (url: string, payload: string) => (await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })).json()
  assert.deepEqual(await inject('/import', '{"rows":[1]}'), [1])
  assert.deepEqual(await inject('/off', '[1,2,3]'), [1, 2, 3])
  assert.equal((await inject('/more', '[1,2,3]')).code, 'FST_SURGE_JSON_TOO_MANY_ITEMS')
  assert.equal((await inject('/more', '[[[1]]]')).code, 'FST_SURGE_JSON_TOO_DEEP')
})

test('bad options fail at boot with the nearest name', async () => {
  for (const options of [{ limit: {} }, { limits: { maxByte: 1 } }, { limits: { maxBytes: 0 } }, { idleTimeout: -1 }, { encodings: ['deflate'] }] as any[]) {
    await assert.rejects(async () => await Fastify().register(jsonStream, options), badOption)
  }
  await assert.rejects(boot(collecting({ pth: 'a' } as any)), { ...badOption, message: 'Unknown option `config.jsonStream of POST /import.pth`. Did you mean `path`? Got \'a\'.' })
  for (const config of [{ path: '' }, { path: 'a..b' }, { path: 'a', select: 'b' }, { select: {} }, { select: { match: 'a', as: 'x' } }, { collectErrors: -1 }, 'yes'] as any[]) {
    await assert.rejects(boot(collecting(config)), badOption, JSON.stringify(config))
  }
  await assert.rejects(boot(app => app.get('/', { config: { jsonStream: true } }, async () => '')), badOption)
})

test('hook arrays that routes share are not added to (fastify: onRoute runs again over the same arrays)', async () => {
  const preParsing: any[] = [async () => {}]
  const app = await boot(app => {
    app.post('/stream', { config: { jsonStream: true }, preParsing }, async request => await collect(request.jsonStream()))
    app.post('/plain', { preParsing }, async request => request.body)
  })
  assert.equal(preParsing.length, 1)
  const reply = await app.inject({ method: 'POST', url: '/plain', payload: { a: 1 } })
  assert.deepEqual(reply.json(), { a: 1 })
})
