// A server with one way of reading a JSON body, in a process of its own: `server.ts <reader>`. Each reader touches every element.
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyRequest } from 'fastify'
import { chain } from 'stream-chain'
import { parser } from 'stream-json'
import { streamArray } from 'stream-json/streamers/stream-array.js'
import jsonStream from '../../plugins/json-stream/index.ts'

const app = Fastify({ bodyLimit: 2 ** 31 })
await app.register(jsonStream, { limits: { maxBytes: 2 ** 31 } })

const config = { jsonStream: true as const }

/** stream-json on the bare request, as its README does it. */
async function count (request: FastifyRequest, options: object): Promise<{ count: number }> {
  let count = 0
  for await (const { value } of chain([request.body as NodeJS.ReadableStream, parser(options), streamArray()] as any) as any) if (value !== undefined) count++
  return { count }
}

const routes: Record<string, () => void> = {
  fastify () {
    app.post('/', async request => {
      let count = 0
      for (const row of request.body as unknown[]) if (row !== undefined) count++
      return { count }
    })
  },
  surge () {
    app.post('/', { config }, async request => {
      let count = 0
      for await (const row of request.jsonStream()) if (row !== undefined) count++
      return { count }
    })
  },
  'surge batches' () {
    app.post('/', { config }, async request => {
      let count = 0
      for await (const rows of request.jsonStream().batches()) for (const row of rows) if (row !== undefined) count++
      return { count }
    })
  },
  'stream-json' () {
    takeRaw()
    app.post('/', async request => await count(request, {}))
  },
  'stream-json packed' () {
    takeRaw()
    app.post('/', async request => await count(request, { packValues: true, streamValues: false }))
  },
  /** Reports what the process grew by while it read, for a consumer that takes `delay` milliseconds an element. */
  memory () {
    app.post<{ Querystring: { delay: string } }>('/', { config }, async request => {
      const delay = Number(request.query.delay)
      globalThis.gc?.()
      const before = process.memoryUsage.rss()
      let peak = before
      const poll = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()) }, 20)
      const loop = monitorEventLoopDelay({ resolution: 5 })
      loop.enable()
      let count = 0
      for await (const row of request.jsonStream()) {
        if (row !== undefined) count++
        if (delay > 0) await sleep(delay)
      }
      clearInterval(poll)
      loop.disable()
      return { count, before, peak, delayP99: loop.percentile(99) / 1e6 - 5 }
    })
  }
}

function takeRaw (): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (_request: unknown, payload: unknown, done: (error: null, body: unknown) => void) => done(null, payload))
}

routes[process.argv[2]!]!()
await app.listen({ host: '127.0.0.1', port: 0 })
process.on('message', () => process.send!(process.cpuUsage()))
process.send!((app.server.address() as AddressInfo).port)
