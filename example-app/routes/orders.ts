// Waits for a downstream that takes ten queries at a time. Without a cap, a burst piles up in front of it until every
// client has given up; with one, as many as can be served in time are, and the others are told so at once.
import type { FastifyInstance } from 'fastify'
import { Downstream } from '../downstream.ts'

const ordersSchema = {
  response: {
    200: {
      type: 'array',
      items: { type: 'object', properties: { id: { type: 'integer' }, product: { type: 'integer' }, quantity: { type: 'integer' } } }
    }
  }
}

export async function orderRoutes (app: FastifyInstance): Promise<void> {
  const downstream = new Downstream()

  app.get('/orders', {
    schema: ordersSchema,
    config: {
      // A gate of its own, so that a slow downstream holds up nothing but what needs it.
      concurrency: 'orders',
      // Queue and query take 250 ms at most. Past 2 s something is broken, and nobody is helped by waiting on.
      deadline: 2_000
    }
  }, async request => {
    // The signal aborts when the deadline is over or the client has left: its query need not be made.
    return downstream.orders(request.deadline.signal)
  })
}
