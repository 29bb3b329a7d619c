// One variant of the hello-world, in a process of its own, which tells its CPU time when asked.
import Fastify, { type FastifyInstance } from 'fastify'
import surge, { serverOptions, type SurgeOptions } from 'fastify-surge'
import { serveBursts } from '../support/burst-server.ts'
import { variants } from './variants.ts'

/** Far above what a burst sends: nothing is refused here, only paid for. */
const rateLimit = { max: 1e9, timeWindow: '1 minute' }

async function official (app: FastifyInstance): Promise<void> {
  await app.register(import('@fastify/under-pressure'), { maxEventLoopDelay: 10_000, maxHeapUsedBytes: 4e9 })
  await app.register(import('@fastify/rate-limit'), rateLimit)
  await app.register(import('@fastify/etag'))
  await app.register(import('@fastify/compress'))
}

const variant = process.argv[2]!
const { off, bare, handWired, reports = false } = variants[variant]!
const app = bare || handWired ? Fastify() : Fastify(serverOptions(reports ? { trustProxy: 'loopback' } : {}))
if (handWired) await official(app)
else if (!bare) await app.register(surge, { pressure: { maxEventLoopDelay: 10_000 }, rateLimit, loadBalancer: reports && { orca: true }, ...Object.fromEntries((off ?? []).map(key => [key, false])) } as SurgeOptions)

await serveBursts(app)
