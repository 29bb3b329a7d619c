// A server of replies that do not end in a process of its own, which tells its resident memory when asked.
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import compression from '../../plugins/compression/index.ts'

const app = Fastify()
await app.register(compression)
const chunk = randomBytes(16 * 1024)
/** More than a socket takes that nobody reads, and not more: the kernel's buffers are not what is measured. */
app.get('/endless', (_request, reply) => {
  let left = 64
  reply.type('text/plain').send(new Readable({ read () { if (left-- > 0) this.push(chunk) } }))
})
app.get('/short', (_request, reply) => { reply.type('text/plain').send(Readable.from(['short '.repeat(500)])) })
await app.listen({ port: 0, host: '127.0.0.1' })

process.on('message', () => {
  globalThis.gc!()
  process.send!(process.memoryUsage().rss)
})
process.on('disconnect', () => process.exit())
process.send!((app.server.address() as { port: number }).port)
