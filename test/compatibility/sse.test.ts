import assert from 'node:assert/strict'
import { test } from 'node:test'
import sse from '@fastify/sse'
import type { FastifyInstance } from 'fastify'
import { RawClient, deferred } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const EVENTS = 'Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n'

test('an event stream of @fastify/sse is sent as it comes, uncompressed, holds no slot and outlives the deadline', async t => {
  const next = deferred()
  const { app, port, lines } = await serveBeside(t, {
    options: { concurrency: { limit: 1, maxQueue: 0 }, deadline: { timeout: 100 } },
    behind: async app => {
      await app.register(sse as any)
      app.get('/events', { sse: true } as any, async (_request, reply: any) => {
        await reply.sse.send({ id: '1', data: 'first'.repeat(500) })
        await next.promise
        await reply.sse.send({ id: '2', data: 'second' })
      })
    }
  })
  const client = (await RawClient.connect(port)).get('/events', EVENTS)
  await client.until(received => received.includes('first'))
  assert.doesNotMatch(client.received.toString(), /content-encoding/i)
  await atRest(app)
  await new Promise(resolve => setTimeout(resolve, 200))
  next.resolve()
  const reply = await client.reply()
  assert.deepEqual([reply.status, reply.headers['content-type']], [200, 'text/event-stream'])
  assert.match(reply.body, /^id: 1\n.*id: 2\ndata: "second"\n\n$/s)
  await atRest(app)
  assert.deepEqual(complaints(lines), [])
  await closesByItself(app)
})

/** Kept alive behind the handler, as a feed that others write to. */
async function feed (app: FastifyInstance): Promise<void> {
  await app.register(sse as any)
  app.get('/feed', { sse: true } as any, async (_request, reply: any) => {
    reply.sse.keepAlive()
    await reply.sse.send({ data: 'open' })
  })
}

test('a feed that is kept alive, and left by its client', async t => {
  const { app, port } = await serveBeside(t, { options: { concurrency: { limit: 1, maxQueue: 0 } }, behind: feed })
  for (let i = 0; i < 3; i++) {
    const client = (await RawClient.connect(port)).get('/feed', EVENTS)
    await client.until(received => received.includes('open'))
    client.reset()
  }
  await atRest(app)
})

test('a feed without an end is cut at closeTimeout', async t => {
  const { app, port } = await serveBeside(t, { options: { lifecycle: { closeTimeout: 200 } }, behind: feed })
  const client = (await RawClient.connect(port)).get('/feed', EVENTS)
  await client.until(received => received.includes('open'))
  await closesByItself(app)
  await client.closed
})

test('the same route asked for JSON has its tag and its coding', async t => {
  const { app, port } = await serveBeside(t, {
    behind: async app => {
      await app.register(sse as any)
      app.get('/both', { sse: 'dual' } as any, async () => ({ text: 'x'.repeat(2_000) }))
    }
  })
  const reply = await (await RawClient.connect(port)).get('/both', 'Accept: application/json\r\nAccept-Encoding: gzip\r\n').reply()
  assert.deepEqual([reply.status, reply.headers['content-encoding'], reply.headers.vary], [200, 'gzip', 'accept-encoding'])
  assert.ok(reply.headers.etag)
  await atRest(app)
})
