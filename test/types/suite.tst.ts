import Fastify, { type FastifyContextConfig, type FastifyInstance, type FastifyTypeProvider } from 'fastify'
import { describe, expect, test } from 'tstyche'
import surge, { concurrency, serverOptions, type Concurrency, type GateStats, type LifecycleDecorator, type RequestDeadline, type SurgeOptions } from '../../plugins/index.ts'

declare const app: FastifyInstance

describe('options', () => {
  test('the umbrella takes a switch or options for each plugin of the table', () => {
    expect<SurgeOptions>().type.toBeAssignableFrom({})
    expect<SurgeOptions>().type.toBeAssignableFrom({ concurrency: false, compression: true, lifecycle: { drainDelay: 5 } })
    expect<SurgeOptions>().type.toBeAssignableFrom({ rateLimit: { max: 100, timeWindow: '1 minute' }, dryRun: true })
    expect<SurgeOptions>().type.toBeAssignableFrom<{ routes: { '/graphql': { concurrency: 'graphql', deadline: false } } }>()
    expect<SurgeOptions>().type.not.toBeAssignableFrom({ concurrency: null })
    expect<SurgeOptions>().type.not.toBeAssignableFrom({ concurrency: { limit: '5' } })
    expect<SurgeOptions>().type.not.toBeAssignableFrom({ routes: { '/x': { deadline: '5s' } } })
  })

  test('an unknown name does not compile', () => {
    expect(app.register).type.not.toBeCallableWith(surge, { concurency: {} })
    expect(app.register).type.not.toBeCallableWith(concurrency, { limt: 3 })
    expect(app.register).type.toBeCallableWith(surge, { concurrency: { limit: 3 } })
    expect(app.register).type.toBeCallableWith(concurrency, { groups: { reports: { limit: 2 } } })
  })

  test('serverOptions() keeps the kind of the server', () => {
    expect(Fastify(serverOptions({ logger: true })).server).type.toBe<import('node:http').Server>()
    expect(Fastify(serverOptions()).server).type.toBe<import('node:http').Server>()
    expect(Fastify(serverOptions({ https: { key: '' } })).server).type.toBe<import('node:https').Server>()
    expect(Fastify(serverOptions({ http2: true })).server).type.toBe<import('node:http2').Http2Server>()
    expect(serverOptions).type.not.toBeCallableWith({ keepAliveTimeout: '5s' })
  })
})

describe('route config', () => {
  test('each key has the shape of its plugin', () => {
    app.get('/', { config: { concurrency: 'reports', deadline: 5_000, pressure: false, rateLimit: { max: 5 }, compression: false, jsonStream: true } }, async () => 1)
    app.get('/', { config: { concurrency: { group: 'reports', priority: 0 }, deadline: false, rateLimit: false, compression: { threshold: 5 } } }, async () => 1)
    app.get('/', { config: { concurrency: { priority: request => request.headers.vip ? 0 : 1 } } }, async () => 1)
    expect<FastifyContextConfig>().type.not.toBeAssignableFrom({ concurrency: 5 })
    expect<FastifyContextConfig['concurrency']>().type.not.toBeAssignableFrom({ group: 5 })
    expect<FastifyContextConfig['concurrency']>().type.not.toBeAssignableFrom({ priority: 3 })
    expect<FastifyContextConfig['deadline']>().type.not.toBeAssignableFrom('5s')
    expect<FastifyContextConfig['jsonStream']>().type.not.toBeAssignableFrom({ path: 5 })
    expect<FastifyContextConfig['compression']>().type.not.toBeAssignableFrom(true as unknown)
    expect<FastifyContextConfig['rateLimit']>().type.not.toBeAssignableFrom({ max: 'many' })
  })
})

describe('decorators', () => {
  test('of the app', () => {
    expect(app.concurrency).type.toBe<Concurrency>()
    expect(app.concurrency.stats('reports')).type.toBe<GateStats>()
    expect(app.concurrency.run(async () => 5)).type.toBe<Promise<number>>()
    expect(app.concurrency.run(() => 'text', { group: 'a', priority: 2 })).type.toBe<Promise<string>>()
    expect(app.concurrency.run).type.not.toBeCallableWith(async () => 5, { priority: 3 })
    expect(app.concurrency.tune).type.toBeCallableWith(5, 'reports')
    expect(app.concurrency.tune).type.toBeCallableWith({ max: 50 })
    expect(app.concurrency.tune).type.not.toBeCallableWith({ mix: 50 })
    expect(app.lifecycle).type.toBe<LifecycleDecorator>()
    expect(app.lifecycle.drain()).type.toBe<Promise<void>>()
    expect(app.isUnderPressure()).type.toBe<boolean>()
  })

  test('of the request and the reply', () => {
    app.get('/', async (request, reply) => {
      expect(request.deadline).type.toBe<RequestDeadline>()
      expect(request.deadline.signal).type.toBe<AbortSignal>()
      expect(reply.notModified({ etag: 'a' })).type.toBe<boolean>()
    })
  })

  test('request.jsonStream<T>() is an async iterable of T, and of arrays of T by batches()', () => {
    interface Row { id: number }
    app.post('/', { config: { jsonStream: { path: 'data.items' } } }, async request => {
      const rows = request.jsonStream<Row>()
      for await (const row of rows) expect(row).type.toBe<Row>()
      for await (const batch of rows.batches()) expect(batch).type.toBe<Row[]>()
      expect(rows.index).type.toBe<number>()
      expect(rows.bytesRead).type.toBe<number>()
      for await (const row of request.jsonStream()) expect(row).type.toBe<unknown>()
    })
  })

  test('request.jsonStream() takes the type of its elements from Body, or from the schema by a type provider', () => {
    interface Row { id: number }
    app.post<{ Body: Row[] }>('/', { config: { jsonStream: true } }, async request => {
      for await (const row of request.jsonStream()) expect(row).type.toBe<Row>()
      for await (const batch of request.jsonStream().batches()) expect(batch).type.toBe<Row[]>()
      for await (const row of request.jsonStream<string>()) expect(row).type.toBe<string>()
    })
    app.post<{ Body: { rows: Row[] } }>('/', { config: { jsonStream: { path: 'rows' } } }, async request => {
      for await (const row of request.jsonStream()) expect(row).type.toBe<unknown>()
    })
    // As the type providers of json-schema-to-ts, TypeBox and Zod are made.
    type Value<Schema> = Schema extends { type: 'integer' } ? number : Schema extends { type: 'string' } ? string
      : Schema extends { type: 'array', items: infer Items } ? Array<Value<Items>>
        : Schema extends { type: 'object', properties: infer Properties } ? { [Key in keyof Properties]: Value<Properties[Key]> } : unknown
    interface Provider extends FastifyTypeProvider { validator: Value<this['schema']> }
    const body = { type: 'array', items: { type: 'object', properties: { id: { type: 'integer' }, name: { type: 'string' } } } } as const
    app.withTypeProvider<Provider>().post('/', { config: { jsonStream: true }, schema: { body } }, async request => {
      for await (const row of request.jsonStream()) expect(row).type.toBe<{ readonly id: number, readonly name: string }>()
    })
  })
})
