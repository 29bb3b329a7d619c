// One variant in a process of its own. It tells its CPU time and the p99 delay of its event loop since it was asked last.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { gzipSync } from 'node:zlib'
import Fastify, { type FastifyContextConfig, type FastifyReply } from 'fastify'
import compression from 'fastify-surge/compression'
import { cpuTime } from '../support/cpu-time.ts'
import { bodyOf, SIZES, type Variant } from './variants.ts'

const variant = process.argv[2] as Variant
// Connections wait for their turn among all the bursts, and none may be closed meanwhile.
const app = Fastify({ keepAliveTimeout: 600_000, http: { headersTimeout: 0 } })
if (variant === 'hand-wired') {
  await app.register(import('@fastify/etag'))
  await app.register(import('@fastify/compress'))
} else if (variant === 'surge' || variant === 'version') {
  await app.register(compression)
}

/** The least that any cache in front of Fastify's reply could cost: nothing. */
function sendReady (reply: FastifyReply, encoded: Buffer): void {
  reply.headers({ 'content-type': 'application/json; charset=utf-8', vary: 'accept-encoding', etag: 'W/"0123456789012345678901"', 'content-encoding': 'gzip' }).send(encoded)
}

let count = 0
for (const size of SIZES) {
  const body = bodyOf(size)
  const value = JSON.parse(body)
  const config: FastifyContextConfig = variant === 'version' ? { compression: { version: () => 1 } } : {}
  if (variant === 'ready') {
    const encoded = gzipSync(body)
    app.get(`/repeated/${size}`, (_request, reply) => { sendReady(reply, encoded) })
    // The app serialises it in either case.
    app.get(`/serialised/${size}`, (_request, reply) => { if (JSON.stringify(value).length === body.length) sendReady(reply, encoded) })
    continue
  }
  // A string: what is compared is the cost of the representation, not that of JSON.stringify.
  app.get(`/repeated/${size}`, { config }, (_request, reply) => { reply.type('application/json; charset=utf-8').send(body) })
  app.get(`/serialised/${size}`, { config }, async () => value)
  const end = body.slice(body.indexOf(','))
  app.get(`/unique/${size}`, (_request, reply) => { reply.type('application/json; charset=utf-8').send(`{"salt":"${count++}"${end}`) })
}
await app.listen({ port: 0, host: '127.0.0.1' })

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
process.on('message', () => {
  process.send!({ cpu: cpuTime(), p99: delay.percentile(99) / 1e6 })
  delay.reset()
})
process.on('disconnect', () => process.exit())
process.send!((app.server.address() as { port: number }).port)
