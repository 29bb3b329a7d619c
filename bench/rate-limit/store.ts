// How long a request waits for a Redis that stops, dies, comes back, refuses to write or forgets the script: three routes,
// one a policy, asked every few milliseconds whatever became of the requests before, from the fault on.
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { RedisServer, skip } from '../../test/rate-limit/redis-server.ts'
import { percentile } from '../../cli/statistics.ts'
import { progress } from '../../cli/progress.ts'

const STORE_TIMEOUT = 50
const EVERY_MS = 4
const ENDS_MS = 2_400
/** What a request may be answered under each policy; anything else is a 5xx that nobody chose. */
const ALLOWED = { local: [200, 429], open: [200, 429], closed: [200, 429, 503] } as const

type Policy = keyof typeof ALLOWED
interface Faulty { server: RedisServer, admin: Redis, every: (ms: number, fn: () => unknown) => void }

const faults: Record<string, (faulty: Faulty) => unknown> = {
  'SIGSTOP, SIGCONT after 1.2 s' ({ server }) {
    server.pause()
    setTimeout(() => server.resume(), 1_200)
  },
  killed: ({ server }) => server.kill(),
  async 'killed and started again' ({ server }) {
    await server.kill()
    await server.restart()
  },
  'READONLY: became a replica': ({ admin }) => admin.replicaof('127.0.0.1', '1'),
  'OOM: maxmemory reached': ({ admin }) => admin.config('SET', 'maxmemory', '1'),
  'SCRIPT FLUSH, ten times a second' ({ admin, every }) { every(100, () => admin.script('FLUSH')) },
  'keys lose their TTL, ten times a second' ({ admin, every }) {
    every(100, async () => { for (const key of await admin.keys('*')) await admin.persist(key) })
  }
}

const clients: Record<string, (port: number, after: (end: () => void) => void) => Promise<unknown>> = {
  async ioredis (port, after) {
    const client = new Redis(port, '127.0.0.1')
    client.on('error', () => {})
    after(() => client.disconnect())
    return client
  },
  async 'node-redis' (port, after) {
    const client = createClient({ url: `redis://127.0.0.1:${port}` })
    client.on('error', () => {})
    await client.connect()
    after(() => client.destroy())
    return client
  }
}

async function serve (redis: unknown): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(import('fastify-surge/rate-limit'), {
    redis, max: 100_000, timeWindow: '1 minute', storeTimeout: STORE_TIMEOUT, keyGenerator: request => request.headers.client as string, hook: 'onRequest'
  })
  for (const policy of Object.keys(ALLOWED) as Policy[]) app.get(`/${policy}`, { config: { rateLimit: { onStoreError: policy } } }, async () => 'ok')
  await app.ready()
  return app
}

interface Answers { times: number[], unchosen: number, recovered: boolean, stall: number }

async function measure (fault: (faulty: Faulty) => unknown, connect: typeof clients[string]): Promise<Answers> {
  const ends: (() => unknown)[] = []
  const after = (end: () => unknown) => { ends.unshift(end) }
  const server = await RedisServer.start({ after })
  const admin = new Redis(server.port, '127.0.0.1')
  admin.on('error', () => {})
  after(() => admin.disconnect())
  const app = await serve(await connect(server.port, after))
  after(() => app.close())

  let unchosen = 0
  async function ask (policy: Policy, client: number): Promise<number> {
    const before = performance.now()
    const { statusCode } = await app.inject({ url: `/${policy}`, headers: { client: `client-${client}` } })
    if (!(ALLOWED[policy] as readonly number[]).includes(statusCode)) unchosen++
    return performance.now() - before
  }

  // The first answers of a fresh process and client take longer than any later one.
  for (let i = 0; i < 300; i++) await ask('closed', i)
  const timers: NodeJS.Timeout[] = []
  const asked: Promise<number>[] = []
  const policies = Object.keys(ALLOWED) as Policy[]
  const done = fault({ server, admin, every: (ms, fn) => timers.push(setInterval(fn, ms)) })
  // What the event loop itself was late by: no answer can be earlier than the loop.
  let stall = 0
  let last = performance.now()
  timers.push(setInterval(() => {
    const now = performance.now()
    stall = Math.max(stall, now - last - EVERY_MS)
    last = now
    asked.push(ask(policies[asked.length % 3]!, asked.length % 50))
  }, EVERY_MS))
  await new Promise(resolve => setTimeout(resolve, ENDS_MS))
  for (const timer of timers) clearInterval(timer)
  const times = await Promise.all(asked)
  await done
  const recovered = app.quota.stats().up
  for (const end of ends) await end()
  return { times, unchosen, recovered, stall }
}

export async function store (): Promise<void> {
  if (skip !== false) return console.log(skip)
  const rows: string[] = []
  const step = progress(Object.keys(faults).length * Object.keys(clients).length, 'faults')
  for (const [name, fault] of Object.entries(faults)) {
    for (const [client, connect] of Object.entries(clients)) {
      const { times, unchosen, recovered, stall } = await measure(fault, connect)
      times.sort((a, b) => a - b)
      const of = (share: number) => percentile(times, share).toFixed(1)
      rows.push(`| ${name} | ${client} | ${times.length} | ${unchosen} | ${of(0.5)} | ${of(0.99)} | ${times.at(-1)!.toFixed(1)} | ${stall.toFixed(1)} | ${recovered ? 'asked again' : 'given up'} |`)
      step(rows.length)
    }
  }
  console.log('| from the fault on | client | answers | against the policy | median ms | p99 ms | max ms | the loop stood still ms | the store at the end |')
  console.log('|---|---|---|---|---|---|---|---|---|')
  console.log(rows.join('\n'))
  console.log(`\nWanted: no answer later than storeTimeout + 20 = ${STORE_TIMEOUT + 20} ms, none against its policy. Node ${process.version}.`)
}
