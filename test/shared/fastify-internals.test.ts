import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify, { type FastifyReply } from 'fastify'
import { headersOf } from '../../plugins/shared/fastify-internals.ts'

test('the headers of a reply are its own, of whichever copy of Fastify; where they are hidden there are none', async t => {
  const app = Fastify()
  t.after(() => app.close())
  app.get('/', async (_request, reply) => {
    headersOf(reply)!['x-added'] = 'yes'
    return reply.getHeader('x-added')
  })
  const of = (symbol: symbol) => headersOf({ [symbol]: { known: 'yes' } } as unknown as FastifyReply)
  assert.equal((await app.inject('/')).body, 'yes')
  assert.deepEqual(of(Symbol('fastify.reply.headers')), { known: 'yes' })
  assert.equal(of(Symbol('renamed')), undefined)
  assert.equal((await app.inject('/')).headers['x-added'], 'yes')
})
