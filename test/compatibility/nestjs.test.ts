// Decorators are called as the functions that they are: the sources of this project hold erasable syntax only.
import 'reflect-metadata'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Controller, ForbiddenException, Get, HttpException, Module, Post, Sse, UseGuards, type CanActivate } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyInstance } from 'fastify'
import { Subject, concat, of } from 'rxjs'
import surge, { serverOptions, type SurgeOptions } from '../../plugins/index.ts'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { atRest, closesByItself } from './beside.ts'

class Guard implements CanActivate {
  canActivate (): boolean { return false }
}

interface Nest { nest: NestFastifyApplication, app: FastifyInstance, port: number, events: Subject<{ data: string }>, gate: ReturnType<typeof deferred<void>>, ended: string[] }

async function serve (t: TestContext, options: SurgeOptions = {}): Promise<Nest> {
  const events = new Subject<{ data: string }>()
  const gate = deferred()
  const ended: string[] = []

  class Shop {
    list () { return { text: 'x'.repeat(2_000) } }
    async held () { await gate.promise; return 'held' }
    create () { return { created: true } }
    forbidden () { throw new ForbiddenException('not yours') }
    teapot () { throw new HttpException('short and stout', 418) }
    guarded () { return 'never' }
    events () { return concat(of({ data: 'open' }), events) }
    beforeApplicationShutdown () { ended.push('before') }
    onApplicationShutdown () { ended.push('after') }
  }
  function decorate (name: string, ...decorators: MethodDecorator[]): void {
    const descriptor = Object.getOwnPropertyDescriptor(Shop.prototype, name)!
    for (const decorator of decorators) decorator(Shop.prototype, name, descriptor)
    Object.defineProperty(Shop.prototype, name, descriptor)
  }
  decorate('list', Get('list'))
  decorate('held', Get('held'))
  decorate('create', Post('create'))
  decorate('forbidden', Get('forbidden'))
  decorate('teapot', Get('teapot'))
  decorate('guarded', Get('guarded'), UseGuards(Guard))
  decorate('events', Sse('events'))
  Controller('shop')(Shop)
  class Root {}
  Module({ controllers: [Shop] })(Root)

  const adapter = new FastifyAdapter(serverOptions() as object)
  const nest = await NestFactory.create<NestFastifyApplication>(Root, adapter, { logger: false })
  t.after(() => nest.close())
  await nest.register(surge as any, { rateLimit: { max: 1_000, timeWindow: '1 minute' }, ...options } as any)
  nest.enableShutdownHooks()
  await nest.listen(0, '127.0.0.1')
  const app = nest.getHttpAdapter().getInstance() as unknown as FastifyInstance
  return { nest, app, port: (nest.getHttpServer().address() as { port: number }).port, events, gate, ended }
}

test('routes of controllers are admitted, tagged and encoded', async t => {
  const { nest, app, port, ended } = await serve(t)
  const client = await RawClient.connect(port)
  const list = await client.get('/shop/list', 'Accept-Encoding: gzip\r\n').reply()
  assert.deepEqual([list.status, list.headers['content-encoding'], list.headers['x-ratelimit-limit']], [200, 'gzip', '1000'])
  assert.equal((await client.get('/shop/list', `If-None-Match: ${list.headers.etag}\r\n`).reply()).status, 304)
  assert.deepEqual(JSON.parse((await client.post('/shop/create', '{}').reply()).body), { created: true })
  assert.equal((await client.get('/livez').reply()).status, 200)
  assert.equal(app.concurrency.stats().admitted, 3)
  await atRest(app)
  await closesByItself(nest)
  assert.deepEqual(ended, ['before', 'after'])
})

test('exceptions, guards and unknown routes answer in words of NestJS, and give their slots back', async t => {
  const { app, port } = await serve(t)
  const client = await RawClient.connect(port)
  for (const [path, status] of [['/shop/forbidden', 403], ['/shop/teapot', 418], ['/shop/guarded', 403], ['/shop/nothing', 404]] as const) {
    const reply = await client.get(path).reply()
    assert.deepEqual([reply.status, JSON.parse(reply.body).statusCode], [status, status], path)
  }
  await atRest(app)
})

test('refusals pass NestJS by: shed, late, over the quota', async t => {
  const { app, port, gate } = await serve(t, {
    concurrency: { limit: 1, maxQueue: 0 }, rateLimit: { max: 3, timeWindow: '1 minute' }, routes: { '/shop/held': { deadline: 100 } }
  })
  const holder = (await RawClient.connect(port)).get('/shop/held')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const client = await RawClient.connect(port)
  assert.equal(JSON.parse((await client.get('/shop/list').reply()).body).code, 'FST_SURGE_QUEUE_FULL')
  assert.equal(JSON.parse((await holder.reply()).body).code, 'FST_SURGE_DEADLINE')
  await client.get('/shop/list').reply()
  assert.equal(JSON.parse((await client.get('/shop/list').reply()).body).code, 'FST_SURGE_RATE_LIMITED')
  gate.resolve()
  await atRest(app)
})

test('@Sse() streams hold no slot, outlive the deadline, and are cut by close() at closeTimeout', async t => {
  const { nest, app, port, events } = await serve(t, { concurrency: { limit: 1, maxQueue: 0 }, deadline: { timeout: 100 }, lifecycle: { closeTimeout: 300 } })
  const client = (await RawClient.connect(port)).get('/shop/events', 'Accept-Encoding: gzip\r\n')
  await client.until(received => received.includes('data: open'))
  assert.doesNotMatch(client.received.toString(), /content-encoding/i)
  await atRest(app)
  await new Promise(resolve => setTimeout(resolve, 200))
  events.next({ data: 'second' })
  await client.until(received => received.includes('data: second'))
  const gone = (await RawClient.connect(port)).get('/shop/events')
  await gone.until(received => received.includes('data: open'))
  gone.reset()
  await atRest(app)
  await closesByItself(nest)
  await client.closed
})

test('close() lets a request in flight finish', async t => {
  const { nest, app, port, gate, ended } = await serve(t)
  const client = (await RawClient.connect(port)).get('/shop/held')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const closed = closesByItself(nest)
  await eventually(() => app.lifecycle.draining, 'draining')
  gate.resolve()
  const reply = await client.reply()
  assert.deepEqual([reply.status, reply.body, reply.headers.connection], [200, 'held', 'close'])
  await closed
  assert.deepEqual(ended, ['before', 'after'])
})
