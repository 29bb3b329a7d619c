// The rate limiters that are compared, in the order of the table.
import type { FastifyInstance } from 'fastify'

/** Far above what a burst sends: nothing is refused here, only paid for. */
const quota = { max: 1_000_000_000, timeWindow: '1 minute' }

export const variants: Record<string, (app: FastifyInstance) => Promise<unknown>> = {
  async 'bare Fastify' () {},

  async '@fastify/rate-limit' (app) {
    await app.register(import('@fastify/rate-limit'), quota)
  },

  async 'fastify-surge/rate-limit' (app) {
    await app.register(import('fastify-surge/rate-limit'), quota)
  },

  async "… headers: 'draft-11'" (app) {
    await app.register(import('fastify-surge/rate-limit'), { ...quota, headers: 'draft-11' })
  },

  async '… headers: false' (app) {
    await app.register(import('fastify-surge/rate-limit'), { ...quota, headers: false })
  },

  async '… two policies' (app) {
    await app.register(import('fastify-surge/rate-limit'), { policies: [{ max: 1e9, timeWindow: '1 minute' }, { max: 1e10, timeWindow: '1 hour' }] })
  },

  /** As its documentation has it: the memory store, and the three headers by hand. */
  async 'rate-limiter-flexible' (app) {
    const { RateLimiterMemory } = await import('rate-limiter-flexible')
    const limiter = new RateLimiterMemory({ points: 1_000_000_000, duration: 60 })
    app.addHook('onRequest', async (request, reply) => {
      const { remainingPoints, msBeforeNext } = await limiter.consume(request.ip)
      reply.header('x-ratelimit-limit', 1_000_000_000)
      reply.header('x-ratelimit-remaining', remainingPoints)
      reply.header('x-ratelimit-reset', Math.ceil(msBeforeNext / 1000))
    })
  }
}
