// What json-stream does to routes that did not opt in: a limit to the depth of their JSON, and nothing else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import jsonStream, { type JsonStreamOptions } from '../../plugins/json-stream/index.ts'
import { setSuiteState } from '../../plugins/shared/suite-state.ts'
import { listen, RawClient } from './server.ts'

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

async function echo (app: FastifyInstance, options: JsonStreamOptions = {}): Promise<FastifyInstance> {
  await app.register(jsonStream, options)
  app.post('/', async request => request.body)
  return app
}

async function send (app: FastifyInstance, payload: string | Buffer, url = '/'): Promise<[number, any]> {
  const reply = await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
  return [reply.statusCode, reply.json()]
}

test('deep JSON that JSON.parse takes and JSON.stringify does not: echoed up to the limit, 400 past it, never 500', async t => {
  const { url } = await listen(t, app => {
    app.post('/', async request => request.body)
    app.post('/streamed', { config: { jsonStream: true } }, async request => {
      const rows = []
      for await (const row of request.jsonStream()) rows.push(row)
      return rows
    })
  })
  for (const path of ['/', '/streamed']) {
    const post = (body: string) => fetch(url + path, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
    for (const depth of [1, 63, 64]) assert.equal(await (await post(nested(depth))).text(), nested(depth))
    for (const body of [nested(65), nested(500_000), '['.repeat(1_000_000), '[{"a":'.repeat(100_000)]) {
      const reply = await post(body)
      assert.deepEqual([reply.status, (await reply.json() as any).code], [400, 'FST_SURGE_JSON_TOO_DEEP'], `${path} ${body.length}`)
    }
  }
})

test('brackets in strings and side by side are not depth', async () => {
  const app = await echo(Fastify(), { limits: { maxDepth: 3 } })
  for (const value of [['[[[[[[', '{"a":[[[['], Array(200).fill([[]]), { a: { b: Array(100).fill('\\"[') } }]) {
    assert.deepEqual(await send(app, JSON.stringify(value)), [200, value])
  }
  assert.equal((await send(app, '[[[[1]]]]'))[0], 400)
  assert.deepEqual((await send(app, `["${'x'.repeat(300)}",[[{"a":1}]]]`))[1].message, 'JSON nested deeper than 3 levels (byte 306)')
})

test('neither chunks nor an encoding hide depth', async t => {
  const { port } = await listen(t, app => app.post('/', async request => request.body))
  const wide = '\u015b\u7b22\u225c\ud83d\ude00'
  const bodies: Array<[within: Buffer, past: Buffer]> = ([
    depth => nested(depth),
    depth => '\ufeff' + nested(depth),
    depth => `["${wide}",${nested(depth - 1)}]`,
    depth => Buffer.concat([Buffer.from('["\xff\xc3","\xe2\x82",', 'latin1'), Buffer.from(nested(depth - 1) + ']')]),
    depth => `["${'\\\\'.repeat(70)}\\"]]]]]",${nested(depth - 1)}]`,
    depth => `{"é":"]${'}'.repeat(99)}","a":${'{"]":['.repeat(31)}${nested(depth - 63)}${']}'.repeat(31)}}`,
    depth => `${' '.repeat(200_000)}[${'"x",'.repeat(20_000)}${nested(depth - 1)}]`
  ] satisfies Array<(depth: number) => string | Buffer>).map(body => [Buffer.from(body(64) as string), Buffer.from(body(65) as string)])
  for (const pair of bodies) {
    for (const [past, body] of pair.entries()) {
      for (const size of [body.length < 1000 ? 1 : 977, body.length]) {
        const client = new RawClient(port)
        client.start('/')
        for (let at = 0; at < body.length; at += size) client.chunk(body.subarray(at, at + size))
        client.end()
        await client.until(past === 0 ? /^HTTP\/1\.1 200/ : /^HTTP\/1\.1 400 [^]*FST_SURGE_JSON_TOO_DEEP/)
        client.socket.destroy()
      }
    }
  }
})

test('the byte in the message is that of the body, beside characters of several', async () => {
  const app = await echo(Fastify(), { limits: { maxDepth: 3 } })
  for (const text of ['x', 'é', 'ś', '\u{1f600}']) {
    const head = `["${text.repeat(50)}",[[`
    assert.equal((await send(app, `${head}[]]]]`))[1].message, `JSON nested deeper than 3 levels (byte ${Buffer.byteLength(head)})`)
  }
})

test('all else is as Fastify has it', async () => {
  const options: FastifyServerOptions = { bodyLimit: 5000, onProtoPoisoning: 'remove' }
  const apps = [await echo(Fastify(options)), Fastify(options)]
  apps[1]!.post('/', async request => request.body)
  const pad = JSON.stringify('é'.repeat(1000))
  const bodies = ['', ' ', '{"a":1}', '{"a":', '\ufeff{"a":1}', '{"__proto__":1,"a":2}', `{"__proto__":1,"a":${pad}}`, `\ufeff[${pad},"\u{1f600}"]`, `[${pad}`, JSON.stringify('x'.repeat(5000)), 'nope',
    Buffer.from('["\xff\xc3"]', 'latin1'), Buffer.concat([Buffer.from(`[${pad},"`), Buffer.from('\xff\xed\xa0\x80"]', 'latin1')])]
  for (const body of bodies) {
    const [ours, theirs] = await Promise.all(apps.map(app => send(app, body)))
    assert.deepEqual(ours, theirs, body.toString().slice(0, 40))
  }
})

test('a JSON parser of the app stays, and one that is added later replaces the limited one', async () => {
  const deep = nested(70)
  const parse = (_request: unknown, body: string, done: (error: null, body: unknown) => void) => done(null, { length: body.length })
  const before = Fastify()
  before.removeContentTypeParser('application/json')
  before.addContentTypeParser('application/json', { parseAs: 'string' }, parse as any)
  const after = Fastify()
  for (const app of [before, after]) await echo(app)
  after.addContentTypeParser('application/json', { parseAs: 'string' }, parse as any)
  for (const app of [before, after]) assert.deepEqual(await send(app, deep), [200, { length: 140 }])
})

test('it holds in the contexts below, not beside, and can be turned off', async () => {
  const app = Fastify()
  app.register(async child => {
    await child.register(async limited => {
      await limited.register(jsonStream, {})
      limited.register(async below => { below.post('/below', async request => request.body) })
    })
    child.post('/beside', async request => request.body)
  })
  assert.equal((await send(app, nested(65), '/below'))[0], 400)
  assert.equal((await send(app, nested(65), '/beside'))[0], 200)
  assert.equal((await send(await echo(Fastify(), { ordinaryRoutes: false }), nested(65)))[0], 200)
})

test('a dry run says what it would refuse', async () => {
  const lines: any[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: line => { lines.push(JSON.parse(line)) } } } })
  setSuiteState(app, { dryRun: true, onRefused: undefined, routes: {} })
  await echo(app)
  assert.deepEqual(await send(app, nested(65)), [200, JSON.parse(nested(65))])
  assert.deepEqual(lines.map(line => [line.err.code, line.msg]), [['FST_SURGE_JSON_TOO_DEEP', 'dry run: the body would be refused']])
})

test('prototype properties: the same on ordinary and on streamed routes', async () => {
  const elements = ['{"__proto__":{"a":1},"b":2}', '{"\\u005f_proto__":{"a":1},"b":2}', '{"_\\u005F\\u0070roto__":1}', '{"constructor":{"prototype":{"a":1}},"b":2}', '{"c\\u006fnstructor":{"prototype":{}},"b":2}', '{"constructor":{"\\u0070rototype":1}}', '{"constructor":1,"b":"__proto__"}', '{"constructor":null}', '{"a":[{"deep":{"__proto__":null}}]}', '{"prototype":{"constructor":1}}', '"__proto__"', '{"x":"\\u005f_proto__\\":1"}']
  for (const onProtoPoisoning of ['error', 'remove', 'ignore'] as const) {
    for (const onConstructorPoisoning of ['error', 'remove', 'ignore'] as const) {
      const app = await echo(Fastify({ onProtoPoisoning, onConstructorPoisoning }))
      app.post('/streamed', { config: { jsonStream: true } }, async request => {
        const rows = []
        for await (const row of request.jsonStream()) rows.push(row)
        return rows
      })
      for (const element of elements) {
        const [status, rows] = await send(app, `[1,${element}]`)
        const [streamedStatus, streamed] = await send(app, `[1,${element}]`, '/streamed')
        assert.equal(streamedStatus, status, `${onProtoPoisoning} ${onConstructorPoisoning} ${element}`)
        if (status === 200) assert.deepEqual(streamed, rows, element)
      }
    }
  }
})
