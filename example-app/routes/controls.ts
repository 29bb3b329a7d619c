// What the live page is played with: a load of orders from half of what the downstream can do to five times that, and a
// switch for each protection. It is for this host only, and nothing for a service that is in use.
import { fork, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { CONNECTIONS, QUERY_MS } from '../downstream.ts'
import type { Second } from '../load.ts'

/** Orders that the downstream can serve in a second. */
const CAPACITY = CONNECTIONS * 1_000 / QUERY_MS
const MOST = 5
const SECONDS_KEPT = 300
const CHANGES_KEPT = 50

interface Change { load?: number, protection?: string, on?: boolean }

const sinceSchema = { querystring: { type: 'object', properties: { since: { type: 'number', default: 0 } } } }

const changeSchema = {
  body: {
    type: 'object',
    additionalProperties: false,
    properties: { load: { type: 'number', minimum: 0, maximum: MOST }, protection: { type: 'string' }, on: { type: 'boolean' } }
  }
}

/** To be steered by when everything else is refused. */
const config = { concurrency: false, rateLimit: false, pressure: false, deadline: false } as const

export async function controlRoutes (app: FastifyInstance): Promise<void> {
  const seconds: Array<Second & { at: number }> = []
  /** What visitors changed, for the charts to say so. */
  const changes: Array<Change & { at: number }> = []
  let generator: ChildProcess | undefined
  let load = 0

  function offer (factor: number): void {
    load = factor
    if (generator === undefined) {
      // All of it comes from one address, whose quota of a minute would be gone in one second.
      app.surge.switch('rateLimit', false)
      generator = fork(fileURLToPath(new URL('../load.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] })
      generator.on('message', (second: Second) => {
        seconds.push({ ...second, at: Date.now() })
        if (seconds.length > SECONDS_KEPT) seconds.shift()
      })
    }
    generator.send({ port: (app.server.address() as AddressInfo).port, perSecond: factor * CAPACITY })
  }

  app.addHook('preClose', async () => { generator?.disconnect() })

  app.get('/controls.js', { config }, async (_request, reply) => reply.type('text/javascript').send(await readFile(new URL('../page/controls.js', import.meta.url))))

  app.get<{ Querystring: { since: number } }>('/controls', { config, schema: sinceSchema }, async (request, reply) => {
    const { since } = request.query
    reply.header('cache-control', 'no-store')
    return { load, capacity: CAPACITY, protections: app.surge.switches, seconds: seconds.filter(({ at }) => at > since), changes: changes.filter(({ at }) => at > since) }
  })

  app.post<{ Body: Change }>('/controls', { config, schema: changeSchema }, async (request, reply) => {
    const { load, protection, on } = request.body
    changes.push({ ...request.body, at: Date.now() })
    if (changes.length > CHANGES_KEPT) changes.shift()
    if (load !== undefined) offer(load)
    if (protection !== undefined && on !== undefined) app.surge.switch(protection, on)
    return reply.code(204).send()
  })
}
