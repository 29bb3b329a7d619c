// A server with one way of reading a JSON body, in a process of its own: `server.ts <reader>`. Each reader touches every element.
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyRequest } from 'fastify'
import { JSONParser } from '@streamparser/json'
import { chain } from 'stream-chain'
import { parser } from 'stream-json'
import { streamArray } from 'stream-json/streamers/stream-array.js'
import jsonStream, { type JsonStream } from '../../dist/json-stream/index.js'
import { cpuTime } from '../support/cpu-time.ts'

const app = Fastify({ bodyLimit: 2 ** 31 })

const config = { jsonStream: true as const }
/** Milliseconds between two looks at the event loop, which are no delay. */
const RESOLUTION = 5

/** stream-json on the bare request, as its README does it. */
async function count (request: FastifyRequest, options: object): Promise<{ count: number }> {
  let count = 0
  for await (const { value } of chain([request.body as NodeJS.ReadableStream, parser(options), streamArray()] as any) as any) if (value !== undefined) count++
  return { count }
}

async function register (): Promise<void> {
  await app.register(jsonStream, { limits: { maxBytes: 2 ** 31 } })
}

const routes: Record<string, () => void | Promise<void>> = {
  /** What the handler of an ordinary route does. */
  fastify () {
    app.post('/', async request => {
      let count = 0
      for (const row of request.body as unknown[]) if (row !== undefined) count++
      return { count }
    })
  },
  async surge () {
    await register()
    app.post('/', { config }, async request => {
      let count = 0
      for await (const row of request.jsonStream()) if (row !== undefined) count++
      return { count }
    })
  },
  async 'surge batches' () {
    await register()
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
  /** As its README does it, without keeping what it has delivered. */
  streamparser () {
    takeRaw()
    app.post('/', async request => {
      let count = 0
      const parser = new JSONParser({ paths: ['$.*'], keepStack: false })
      parser.onValue = ({ value }) => { if (value !== undefined) count++ }
      for await (const chunk of request.body as NodeJS.ReadableStream) parser.write(chunk as Buffer)
      return { count }
    })
  },
  /** Reports what the process grew by while it read, for a consumer that takes `delay` milliseconds an element. */
  async memory () {
    await register()
    let stream: JsonStream<unknown> | undefined
    app.get('/read', async () => ({ bytes: stream?.bytesRead ?? 0 }))
    app.post<{ Querystring: { delay: string } }>('/', { config }, async request => {
      const delay = Number(request.query.delay)
      globalThis.gc?.()
      const before = process.memoryUsage.rss()
      let peak = before
      const poll = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()) }, 20)
      const loop = monitorEventLoopDelay({ resolution: RESOLUTION })
      loop.enable()
      let count = 0
      stream = request.jsonStream()
      for await (const row of stream) {
        if (row !== undefined) count++
        if (delay > 0) await sleep(delay)
      }
      clearInterval(poll)
      loop.disable()
      return { count, before, peak, delayP99: loop.percentile(99) / 1e6 - RESOLUTION, delayMax: loop.max / 1e6 - RESOLUTION }
    })
  }
}

function takeRaw (): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (_request: unknown, payload: unknown, done: (error: null, body: unknown) => void) => done(null, payload))
}

await routes[process.argv[2]!]!()
await app.listen({ host: '127.0.0.1', port: 0 })
process.on('message', () => process.send!(cpuTime()))
process.send!((app.server.address() as AddressInfo).port)
