// A hello-world behind one rate limiter, in a process of its own, which tells its CPU time when asked.
import Fastify from 'fastify'
import { variants } from './variants.ts'

const app = Fastify()
await variants[process.argv[2]!]!(app)
app.get('/', async () => ({ hello: 'world' }))
await app.listen({ port: 0, host: '127.0.0.1' })

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send!(user + system)
})
process.on('disconnect', () => process.exit())
process.send!((app.server.address() as { port: number }).port)
