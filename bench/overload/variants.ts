// Who competes: the same app bare, behind what people use, and behind fastify-surge.
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { serverOptions, type SurgeOptions } from 'fastify-surge'
import concurrency from 'fastify-surge/concurrency'

export type VariantName = 'bare' | 'under-pressure' | 'cap' | 'tuned' | 'defaults' | 'no gate' | 'gate alone' | 'no pressure' | 'own port' | `limit ${10 | 16 | 32 | 64}`

export const titles: Record<VariantName, string> = {
  bare: 'bare Fastify',
  'under-pressure': '@fastify/under-pressure, delay 100 ms',
  cap: 'a cap of 8 released in onResponse',
  tuned: 'fastify-surge, tuned',
  defaults: 'fastify-surge, defaults only',
  'no gate': 'fastify-surge without its gate',
  'gate alone': 'fastify-surge/concurrency alone',
  'no pressure': 'fastify-surge, its gate alone decides',
  'own port': 'fastify-surge, defaults and lifecycle.port',
  'limit 10': 'fastify-surge, limit: 10',
  'limit 16': 'fastify-surge, limit: 16',
  'limit 32': 'fastify-surge, limit: 32',
  'limit 64': 'fastify-surge, limit: 64'
}

const CAP = 8

/** The app before its routes. `options` are for the variants of fastify-surge. */
export async function build (variant: VariantName, options: SurgeOptions): Promise<FastifyInstance> {
  switch (variant) {
    case 'bare':
      return withProbe(Fastify())
    case 'under-pressure': {
      const app = Fastify()
      await app.register(import('@fastify/under-pressure'), { maxEventLoopDelay: 100 })
      return withProbe(app)
    }
    case 'cap':
      return withProbe(capped(Fastify()))
    case 'no gate':
      return await surging({ concurrency: false })
    case 'gate alone': {
      const app = Fastify()
      await app.register(concurrency)
      return withProbe(app)
    }
    case 'no pressure':
      return await surging({ ...options, pressure: false })
    default:
      return await surging(options)
  }
}

async function surging (options: SurgeOptions): Promise<FastifyInstance> {
  const app = Fastify(serverOptions())
  await app.register(surge, options)
  return app
}

function withProbe (app: FastifyInstance): FastifyInstance {
  app.get('/livez', async () => ({ status: 'ok' }))
  return app
}

/** What many write: onResponse never runs for a client that left, so each of those keeps its slot. */
function capped (app: FastifyInstance): FastifyInstance {
  const refused = new WeakSet<object>()
  let inflight = 0
  app.decorate('inflight', { getter: () => inflight })
  app.addHook('onRequest', (request, reply, done) => {
    if (inflight < CAP) {
      inflight++
      done()
    } else {
      refused.add(request)
      reply.code(503).send({ error: 'busy' })
    }
  })
  app.addHook('onResponse', (request, _reply, done) => {
    if (!refused.has(request)) inflight--
    done()
  })
  return app
}
