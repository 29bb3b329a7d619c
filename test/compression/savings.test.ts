// What compression counts for the metrics: 304s and 412s, bytes that a coding took away, and what the cache had.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import compression, { type CompressionOptions } from '../../plugins/compression/index.ts'
import { Savings } from '../../plugins/compression/savings.ts'
import { counted } from '../support/counted.ts'

const TEXT = 'all work and no play makes Jack a dull boy. '.repeat(60)
const gzip = { 'accept-encoding': 'gzip' }
const SAVED = 'fastify.compression.saved'

async function serve (t: TestContext, options: CompressionOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(compression, options)
  app.get('/', async () => TEXT)
  app.get('/own', async (_request, reply) => reply.code(304).send())
  app.get('/stream', async (_request, reply) => reply.type('text/plain').send(Readable.from([TEXT, TEXT])))
  app.get('/version', { config: { compression: { version: () => 1 } } }, async () => TEXT)
  return app
}

test('a 304 counts, whoever made it, and a 412', async t => {
  const app = await serve(t)
  const { headers: { etag } } = await app.inject('/')
  for (const url of ['/', '/own']) assert.equal((await app.inject({ url, headers: { 'if-none-match': etag as string } })).statusCode, 304)
  assert.equal((await app.inject({ url: '/', headers: { 'if-match': '"other"' } })).statusCode, 412)
  assert.deepEqual(counted(app, 'fastify.conditional_responses'), { 'fastify.conditional_responses outcome=not_modified': 2, 'fastify.conditional_responses outcome=failed': 1 })
})

test('bytes that were saved: of a body that is encoded, kept, streamed or kept by its version, and none of a HEAD or of plain bytes', async t => {
  const app = await serve(t)
  let saved = 0
  const spared = async (url: string, plainBytes = TEXT.length): Promise<boolean> => {
    const reply = await app.inject({ url, headers: gzip })
    const before = saved
    saved = counted(app, SAVED)[SAVED]!
    return saved - before === plainBytes - reply.rawPayload.length
  }
  for (let time = 1; time <= 3; time++) assert.ok(await spared('/'), `whole, time ${time}`)
  for (let time = 1; time <= 4; time++) assert.ok(await spared('/version'), `by version, time ${time}`)
  assert.ok(await spared('/stream', 2 * TEXT.length), 'streamed')
  await app.inject('/')
  await app.inject({ method: 'HEAD', url: '/', headers: gzip })
  assert.equal(counted(app, SAVED)[SAVED], saved)
})

test('a body that grew saved nothing, and takes nothing back', () => {
  const savings = new Savings()
  const bytes: number[] = []
  savings.encoded(100, 40)
  savings.encoded(10, 30)
  savings.register({ add: (instrument: { name: string }, read: (add: (value: number) => void) => void) => { if (instrument.name === SAVED) read(value => { bytes.push(value) }) } } as any, undefined)
  assert.deepEqual(bytes, [60])
})

test('what the cache had and had not, one a reply; nothing of a cache that is off', async t => {
  const app = await serve(t)
  for (let i = 0; i < 3; i++) await app.inject({ url: '/', headers: gzip })
  const { 'fastify.compression.cache.hits': hits, 'fastify.compression.cache.misses': misses, 'fastify.compression.cache.size': size } = counted(app, 'fastify.compression.cache')
  assert.deepEqual([hits, misses], [1, 2])
  assert.ok(size! > 0)
  const off = Fastify()
  t.after(() => off.close())
  await off.register(compression, { cache: false })
  assert.deepEqual(Object.keys(counted(off, 'fastify.compression')), [SAVED])
})

test('a version that is not kept is one miss', async t => {
  const app = await serve(t)
  await app.inject({ url: '/version', headers: { authorization: 'x' } })
  assert.equal(counted(app, 'fastify.compression.cache')['fastify.compression.cache.misses'], 1)
})
