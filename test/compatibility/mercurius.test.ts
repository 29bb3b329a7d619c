import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import mercurius from 'mercurius'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const schema = `
  type Query { add(x: Int, y: Int): Int, held: String, text: String, left: Float }
  type Subscription { ticked: Int }
`
const gate = deferred()

async function graphql (app: FastifyInstance): Promise<void> {
  await app.register(mercurius, {
    schema,
    subscription: true,
    resolvers: {
      Query: {
        add: (_root: unknown, { x, y }: { x: number, y: number }) => x + y,
        held: async () => { await gate.promise; return 'held' },
        text: () => 'x'.repeat(2_000),
        left: (_root: unknown, _args: unknown, { reply }: any) => reply.request.deadline.remaining()
      },
      Subscription: { ticked: { subscribe: (_root: unknown, _args: unknown, { pubsub }: any) => pubsub.subscribe('TICKED') } }
    }
  })
  app.post('/tick', async () => { app.graphql.pubsub.publish({ topic: 'TICKED', payload: { ticked: 5 } } as any); return 'ok' })
}

function query (text: string): string {
  return JSON.stringify({ query: text })
}

test('mercurius has a gate and a deadline of its own by the routes of the umbrella', async t => {
  const { app, port, lines } = await serveBeside(t, {
    options: {
      concurrency: { groups: { graphql: { limit: 1, maxQueue: 0 } } },
      routes: { '/graphql': { concurrency: 'graphql', deadline: 5_000 } }
    },
    behind: graphql
  })
  const client = await RawClient.connect(port)
  const sum = await client.post('/graphql', query('{ add(x: 2, y: 3) }')).reply()
  assert.deepEqual([sum.status, sum.body], [200, '{"data":{"add":5}}'])
  const { data: { left } } = JSON.parse((await client.post('/graphql', query('{ left }')).reply()).body)
  assert.ok(left > 0 && left <= 5_000)
  const holder = (await RawClient.connect(port)).post('/graphql', query('{ held }'))
  await eventually(() => app.concurrency.stats('graphql').inflight === 1, 'held')
  const shed = await client.post('/graphql', query('{ add(x: 2, y: 3) }')).reply()
  assert.deepEqual([shed.status, JSON.parse(shed.body).code], [503, 'FST_SURGE_QUEUE_FULL'])
  gate.resolve()
  assert.equal(JSON.parse((await holder.reply()).body).data.held, 'held')
  assert.equal(app.concurrency.stats().admitted, 0)
  await atRest(app)
  assert.deepEqual(complaints(lines).filter(msg => !msg.startsWith('refused')), [])
  await closesByItself(app)
})

test('a query by GET has its tag, its 304 and its coding; one by POST is encoded only', async t => {
  const { app, port } = await serveBeside(t, { behind: graphql })
  const client = await RawClient.connect(port)
  const path = `/graphql?query=${encodeURIComponent('{ text }')}`
  const full = await client.get(path, 'Accept-Encoding: gzip\r\n').reply()
  assert.deepEqual([full.status, full.headers['content-encoding']], [200, 'gzip'])
  assert.equal((await client.get(path, `If-None-Match: ${full.headers.etag}\r\n`).reply()).status, 304)
  const posted = await client.post('/graphql', query('{ text }'), 'Accept-Encoding: gzip\r\n').reply()
  assert.deepEqual([posted.headers['content-encoding'], posted.headers.etag], ['gzip', undefined])
  assert.equal((await client.post('/graphql', query('{ nothing }')).reply()).status, 400)
  await atRest(app)
})

test('a subscription holds no slot, outlives the deadline and ends with close()', async t => {
  const { app, port } = await serveBeside(t, { options: { concurrency: { limit: 1, maxQueue: 0 }, routes: { '/graphql': { deadline: 100 } } }, behind: graphql })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, 'graphql-ws')
  await once(socket, 'open')
  const messages: any[] = []
  socket.on('message', message => messages.push(JSON.parse(String(message))))
  socket.send(JSON.stringify({ type: 'connection_init' }))
  await eventually(() => messages.some(({ type }) => type === 'connection_ack'), 'acknowledged')
  socket.send(JSON.stringify({ id: '1', type: 'start', payload: { query: 'subscription { ticked }' } }))
  await atRest(app)
  await new Promise(resolve => setTimeout(resolve, 200))
  await (await RawClient.connect(port)).post('/tick', '{}').reply()
  await eventually(() => messages.some(({ payload }) => payload?.data?.ticked === 5), 'a tick')
  const ended = once(socket, 'close')
  await closesByItself(app)
  await ended
})
