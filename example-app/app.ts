// Builds the service, without listening: server.ts and the tests do that. The one call of app.register(surge, …) is
// all that the routes need to hold under load; whatever it leaves out is at its default.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import surge, { serverOptions } from 'fastify-surge'
import { CONNECTIONS } from './downstream.ts'
import { controlRoutes } from './routes/controls.ts'
import { eventRoutes } from './routes/events.ts'
import { indexRoutes } from './routes/index.ts'
import { orderRoutes } from './routes/orders.ts'
import { productRoutes } from './routes/products.ts'
import { reportRoutes } from './routes/report.ts'
import { Store } from './store.ts'

export interface AppOptions {
  /** Where LevelDB keeps its files. */
  dataDir: string
  /** Requests of one client in a minute. */
  requestsPerMinute?: number
  /** Orders that run at a time. */
  ordersLimit?: number
  /** The live page gets a load generator and a switch a protection: for this host only. */
  controls?: boolean
  /** SIGTERM and SIGINT close the app and end the process. */
  signals?: boolean
  logger?: FastifyServerOptions['logger']
}

export async function buildApp ({ dataDir, requestsPerMinute = 600, ordersLimit = CONNECTIONS, controls = false, signals = false, logger = false }: AppOptions): Promise<FastifyInstance> {
  const store = await Store.open(dataDir)

  // serverOptions() adds what only Fastify's constructor can set: timeouts, and to go on serving while close() drains.
  // Behind a proxy, name its address here: trustProxy: '10.0.0.0/8'. Else all its clients share one rate limit.
  const app = Fastify(serverOptions({ logger }))
  // Runs when the last reply is out, whatever started the close.
  app.addHook('onClose', () => store.close())

  // Awaited, and before the routes: those declared earlier would have no compression and no jsonStream.
  await app.register(surge, {
    serverDefaults: {
      // An idle connection costs memory before any gate sees a request of it.
      maxConnections: 1_000
    },
    lifecycle: {
      signals,
      // /livez and /readyz are on by default. Behind a balancer leave this one out: for 5 s it sees then that /readyz has
      // turned to 503, before anybody is sent away.
      drainDelay: 0,
      // An orchestrator kills 30 s after SIGTERM; be done well before.
      closeTimeout: 10_000
    },
    // The last minutes as charts, at /surge; what Prometheus scrapes is at /metrics.
    metrics: { page: controls ? { path: '/surge', script: '/controls.js' } : '/surge' },
    // CPU and heap profiles at /debug/pprof, for clients of this host only.
    profiling: true,
    pressure: {
      // The event loop and the heap have limits by default. Bodies and LevelDB's memory are outside the heap, so the
      // process has one as well: three times what it takes under load, and less than its container is given.
      maxRssBytes: 512 * 1024 * 1024
    },
    rateLimit: {
      // Generous: it is there for the client that runs wild, and the gates are for when all of them come at once.
      max: requestsPerMinute,
      timeWindow: '1 minute'
    },
    deadline: {
      // No reply here takes a second. One that takes ten will not come, and its client should hear of it before a
      // balancer gives up on both.
      timeout: 10_000
    },
    concurrency: {
      // For all routes without a group. They take some milliseconds, so 100 at a time are more than one core can use,
      // and few enough to fit in memory.
      limit: 100,
      groups: {
        orders: {
          // As many as the downstream has connections, so that whoever has to wait does so here, and not in the queue
          // of the downstream's client, which has no bound and knows of no clients that left.
          limit: ordersLimit,
          // 10 connections × 20 ms serve 500 a second: 50 that wait are served within 100 ms.
          maxQueue: 50,
          // Should the downstream be slower than that, a client hears of it in a quarter of a second.
          maxWait: 250
        },
        reports: {
          // It keeps the event loop to itself, so a second one at the same time would gain nothing.
          limit: 1,
          // Four reports in a row hold up everybody else for some 150 ms; past that they are refused.
          maxQueue: 3
        },
        imports: {
          // Each holds a batch in memory, and LevelDB writes one at a time.
          limit: 2,
          // A body that waits is a client that has begun to send. It had better try again later.
          maxQueue: 0
        }
      }
    },
    jsonStream: {
      limits: {
        // A product is below 4 KiB (see product.ts), so nothing longer needs to be held to know that it is wrong.
        maxElementBytes: 16 * 1024,
        // A product has two levels and the array around it one.
        maxDepth: 4
      }
    }
  })

  await app.register(indexRoutes)
  await app.register(productRoutes, { store })
  await app.register(orderRoutes)
  await app.register(reportRoutes, { store })
  await app.register(eventRoutes)
  if (controls) await app.register(controlRoutes)
  return app
}
