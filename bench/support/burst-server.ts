// A hello-world in a process of its own, which tells its CPU time when asked, or that of a burst over connections in memory.
import type { FastifyInstance } from 'fastify'
import { cpuTime } from './cpu-time.ts'
import { memoryBurst } from './memory-connection.ts'

export async function serveBursts (app: FastifyInstance): Promise<void> {
  app.get('/', async () => ({ hello: 'world' }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  process.on('message', async (message: 'cpu' | { request: string, connections: number, count: number }) => {
    if (message === 'cpu') return process.send!(cpuTime())
    const before = cpuTime()
    await memoryBurst(app.server, message.request, message.connections, message.count)
    process.send!(cpuTime() - before)
  })
  process.on('disconnect', () => process.exit())
  process.send!((app.server.address() as { port: number }).port)
}
