// What a million clients that come once cost in memory, and whether a client that is past its quota is still refused behind
// them. In a process of its own for each store; collects garbage before it looks.
import { createRequire } from 'node:module'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { KeyedHash } from '../../plugins/rate-limit/keyed-hash.ts'
import { Policy } from '../../plugins/rate-limit/gcra.ts'
import { MemoryStore } from '../../plugins/rate-limit/memory-store.ts'
import { systemClock } from '../../plugins/shared/clock.ts'

const CLIENTS = 1_000_000

/** Counts a request of `key`; true when it is refused. */
type Count = (key: string) => boolean | Promise<boolean>

const stores: Record<string, () => Count> = {
  '@fastify/rate-limit' () {
    const LocalStore = createRequire(import.meta.url)('@fastify/rate-limit/store/LocalStore.js')
    const store = new LocalStore(false, false)
    let refused = false
    return key => {
      store.incr(key, (_error: unknown, { current }: { current: number }) => { refused = current > 10 }, 3_600_000, 10)
      return refused
    }
  },

  'fastify-surge/rate-limit' () {
    const counter = new MemoryStore(65_536, systemClock, new KeyedHash(new Uint32Array([1, 2]))).counter('', { ban: -1, continueExceeding: false, exponentialBackoff: false })
    const policies = [new Policy({ max: 10, window: 3_600_000 })]
    return key => counter.now({ key, policies, cost: 1, onStoreError: 'local' }).outcome !== 'admitted'
  },

  'rate-limiter-flexible' () {
    const limiter = new RateLimiterMemory({ points: 10, duration: 3600 })
    return key => limiter.consume(key).then(() => false, () => true)
  }
}

export const storeNames = Object.keys(stores)

async function measure (name: string): Promise<{ mebibytes: number, stillRefused: boolean }> {
  const count = stores[name]!()
  const rss = () => {
    global.gc!()
    global.gc!()
    return process.memoryUsage.rss()
  }
  // So that the code is compiled, and the heap as large as the churn of short-lived objects makes it.
  let letters = 0
  for (let i = 0; i < CLIENTS; i++) {
    letters += `client ${i}`.length
    await count(`warm ${letters % 100}`)
  }
  for (let i = 0; i < 12; i++) await count('debtor')
  const before = rss()
  for (let i = 0; i < CLIENTS; i++) await count(`client ${i}`)
  const after = rss()
  return { mebibytes: (after - before) / 2 ** 20, stillRefused: await count('debtor') }
}

if (process.send !== undefined && process.argv[2] !== undefined) {
  process.send(await measure(process.argv[2]))
  process.disconnect()
  process.exit()
}
