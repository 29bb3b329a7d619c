// One variant of one workload, in a process of its own: `server.ts <variant> <workload>`. Each run gets a new app, in a
// process that is warm.
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { cpuTime } from '../support/cpu-time.ts'
import { memoryPace } from '../support/memory-connection.ts'
import { inPairs } from '../support/pairs.ts'
import { get } from '../support/request.ts'
import type { Downstream, VariedDownstream } from './downstream.ts'
import { build, type VariantName } from './variants.ts'
import { optionsOf, workloads, type Facts, type Workload, type WorkloadName } from './workloads.ts'

/** What may be asked of a server, and what it answers. */
export interface Server {
  /** Opens a new app; `unknown` names an option that this version doesn't have. */
  open: (facts: Facts) => { port: number } | { unknown: string }
  /** Microseconds of CPU since the process started. */
  cpu: () => number
  /** The gates' counters, summed. */
  gate: () => { inflight: number, queued: number, orphans: number }
  /** From now on CPU is read whenever requests for another path come. */
  watchPaths: () => void
  /** The stretches of requests for one path since then, which ends it: how many, and the microseconds of CPU from its first to the next stretch's. */
  stretches: () => Stretch[]
  /** Microseconds of CPU a hello-world at half load, on a route with its gate and on one without, in pairs; over connections in memory. */
  gatePairs: () => { gated: number[], ungated: number[] }
  /** From now on every request is refused. */
  refuse: () => void
  close: () => void
}

export interface Stretch { path: string, requests: number, cpu: number }

const [variant, workload] = process.argv.slice(2) as [VariantName, WorkloadName]
/** Milliseconds that an old app has for its end before the next run starts without waiting for it. */
const CLOSES_WITHIN = 3000

/** Half of what a core can do over sockets. */
const PER_MS = 10
/** Requests of one side of a pair: a neighbour's noise is longer. */
const PAIRED = 200
const PAIRS = 600
const COLD_PAIRS = 50

let app: FastifyInstance
let downstreams: Array<Downstream | VariedDownstream> = []
const stretches: Stretch[] = []
let stretchBegan = 0

const server: { [Question in keyof Server]: (facts: Facts) => Promise<ReturnType<Server[Question]>> } = {
  async open (facts) {
    try {
      app = await build(variant, optionsOf(workload, variant, facts))
    } catch (error) {
      if ((error as { code?: string }).code !== 'FST_SURGE_BAD_OPTION') throw error
      return { unknown: (error as Error).message }
    }
    app.get('/hello', async () => ({ hello: 'world' }))
    downstreams = (workloads[workload] as Workload).routes(app, facts)
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { port: (app.server.address() as AddressInfo).port }
  },

  async cpu () {
    return cpuTime()
  },

  async watchPaths () {
    app.server.prependListener('request', watchPath)
  },

  async stretches () {
    app.server.off('request', watchPath)
    return stretches
  },

  async gatePairs () {
    async function measure (path: string): Promise<number> {
      const before = cpuTime()
      await memoryPace(app.server, get(path), PER_MS, PAIRED)
      return (cpuTime() - before) / PAIRED
    }
    await inPairs(['/hello', '/ungated'], COLD_PAIRS, measure)
    const [gated, ungated] = await inPairs(['/hello', '/ungated'], PAIRS, measure)
    return { gated, ungated }
  },

  async gate () {
    const counters = { inflight: 0, queued: 0, orphans: 0 }
    if ('inflight' in app) counters.inflight = app.inflight as number
    if (!('concurrency' in app)) return counters
    for (const group of app.concurrency.groups) {
      const { inflight, queued, orphans } = app.concurrency.stats(group)
      counters.inflight += inflight
      counters.queued += queued
      counters.orphans += orphans
    }
    return counters
  },

  async refuse () {
    // Resolves when the gate is at rest, for which nobody waits here.
    if ('concurrency' in app) app.concurrency.drain().catch(() => {})
  },

  async close () {
    for (const downstream of downstreams) downstream.reset()
    app.server.closeAllConnections()
    await Promise.race([app.close(), new Promise(resolve => setTimeout(resolve, CLOSES_WITHIN).unref())])
  }
}

function watchPath ({ url }: { url?: string }): void {
  const last = stretches.at(-1)
  if (last?.path === url) {
    last!.requests++
    return
  }
  const now = cpuTime()
  if (last !== undefined) last.cpu = now - stretchBegan
  stretchBegan = now
  stretches.push({ path: url!, requests: 1, cpu: NaN })
}

process.on('message', async ({ question, facts }: { question: keyof Server, facts: Facts }) => {
  process.send!(await server[question](facts) ?? null)
})
process.on('disconnect', () => process.exit())
process.send!('ready')
