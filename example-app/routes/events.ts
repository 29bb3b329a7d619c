// Server-sent events: the state of the gates, each second. A client may stay for hours, so it holds no slot of a gate
// (the plugin gives it back at the first byte), and it is sent away when the server stops.
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

export async function eventRoutes (app: FastifyInstance): Promise<void> {
  // close() waits for replies that are not complete, and these never are by themselves.
  const { signal } = app.lifecycle

  async function * ticks (): AsyncGenerator<string> {
    while (!signal.aborted) {
      const gates = Object.fromEntries(app.concurrency.groups.map(group => [group, app.concurrency.stats(group)]))
      yield `event: gates\ndata: ${JSON.stringify(gates)}\n\n`
      await sleep(1_000, undefined, { signal }).catch(() => {})
    }
  }

  // Fastify ends the generator when the client leaves.
  app.get('/events', async (_request, reply) => {
    reply.type('text/event-stream').header('cache-control', 'no-store')
    return reply.send(Readable.from(ticks()))
  })
}
