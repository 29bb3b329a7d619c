// What the servers do for a request, and how each workload's gate is tuned.
import type { FastifyInstance } from 'fastify'
import type { SurgeOptions } from 'fastify-surge'
import { setTimeout as sleep } from 'node:timers/promises'
import { Downstream, VariedDownstream } from './downstream.ts'
import { lognormal, randomOf } from './simulation/engine.ts'

/** Facts that a scenario measures first and its server needs. */
export interface Facts {
  /** Capacity of the fast downstream. */
  perSecond?: number
  /** A free port for probes. */
  probePort?: number
}

export interface Workload {
  /** Declares its routes. What it returns is reset at the end of a run. */
  routes: (app: FastifyInstance, facts: Facts) => Array<Downstream | VariedDownstream>
  /** fastify-surge's options for it, by variant; `defaults` has none but what says what the app is. */
  options?: (facts: Facts) => Record<string, object>
}

/** 10 × 20 ms: 500 a second. */
export const SLOTS = 10
export const SERVICE = 20
export const CAPACITY = 1000 / SERVICE * SLOTS

/** Slower, where a flood is a multiple of it that has to leave the generator time for who is flooded: 10 × 50 ms, 200 a second. */
export const FLOODED_SERVICE = 50
export const FLOODED_CAPACITY = 1000 / FLOODED_SERVICE * SLOTS
const TUNED_FLOODED = { limit: 11, maxQueue: 20, maxWait: 150, target: 50 }

/** When the stepping downstream becomes slower, and is itself again. */
export const SLOWER_AT = 4000
export const ITSELF_AT = 9000

/** Little's law, with the turn of the loop that a slot is held for as well: 500 a second × 23 ms. */
const TUNED = { limit: 12, maxQueue: 20, maxWait: 60, target: 20 }
const LIVEZ_BUSY = 2

/** One route that calls one downstream. */
function calling (slots: number, serviceMs: number) {
  return function routes (app: FastifyInstance): Downstream[] {
    const downstream = new Downstream(slots, serviceMs)
    app.get('/', async () => {
      await downstream.call()
      return { hello: 'world' }
    })
    return [downstream]
  }
}

const HELLO = { hello: 'world' }

/** One route that calls one downstream, for as long as `ms` draws. */
function drawing (ms: (random: () => number) => number) {
  return function routes (app: FastifyInstance): VariedDownstream[] {
    const downstream = new VariedDownstream(SLOTS)
    const random = randomOf(1)
    app.get('/', async () => {
      await downstream.call(ms(random))
      return HELLO
    })
    return [downstream]
  }
}

/** What the fast downstream's slots take a call. */
const FAST_SERVICE = 5

function fastSlots ({ perSecond = 0 }: Facts): number {
  return Math.max(1, Math.round(perSecond * FAST_SERVICE / 1000))
}

function burn (ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

export const workloads = {
  downstream: {
    routes: calling(SLOTS, SERVICE),
    options: () => ({ tuned: { concurrency: TUNED } })
  },

  fast: {
    routes: (app, facts) => calling(fastSlots(facts), FAST_SERVICE)(app),
    // Little's law: a slot is held for a turn of the loop as well, which is as long as a call here.
    options: facts => ({ tuned: { concurrency: { limit: Math.ceil(fastSlots(facts) * 2.5), maxQueue: fastSlots(facts) * 2, maxWait: 60 } } })
  },

  cpu: {
    routes (app) {
      app.get('/', async () => {
        burn(2)
        return { hello: 'world' }
      })
      return []
    },
    options: () => ({ tuned: { concurrency: TUNED } })
  },

  /** One pool for two routes, of which one matters. */
  priorities: {
    routes (app) {
      const downstream = new Downstream(SLOTS, FLOODED_SERVICE)
      for (const [url, priority] of [['/critical', 0], ['/low', 2]] as const) {
        app.get(url, { config: { concurrency: { priority } } }, async () => {
          await downstream.call()
          return { hello: 'world' }
        })
      }
      return [downstream]
    },
    options: () => ({ tuned: { concurrency: TUNED_FLOODED } })
  },

  clients: {
    routes: calling(SLOTS, FLOODED_SERVICE),
    options: () => {
      const key = (request: { headers: Record<string, unknown> }) => request.headers['x-client']
      return { tuned: { concurrency: { ...TUNED_FLOODED, key, maxPerKey: 4 } } }
    }
  },

  /** A route whose downstream has all but stopped, beside one that is well. */
  slow: {
    routes (app) {
      const slow = new Downstream(SLOTS, 2000)
      const well = new Downstream(SLOTS, SERVICE)
      app.get('/slow', { config: { concurrency: 'slow' } }, async () => {
        await slow.call()
        return { hello: 'world' }
      })
      app.get('/', async () => {
        await well.call()
        return { hello: 'world' }
      })
      return [slow, well]
    },
    options: () => ({
      tuned: { concurrency: { ...TUNED, groups: { slow: { limit: SLOTS, maxQueue: 10, maxWait: 60 } } } },
      defaults: { concurrency: { groups: { slow: {} } } }
    })
  },

  lognormal: {
    routes: drawing(random => lognormal(random, SERVICE, 1))
  },

  bimodal: {
    routes: drawing(random => random() < 0.1 ? 155 : 5)
  },

  /** Of five requests one is to the slow route. */
  mixed: {
    routes (app) {
      const downstream = new VariedDownstream(SLOTS)
      for (const [url, ms] of [['/', 5], ['/slow', 80]] as const) {
        app.get(url, async () => {
          await downstream.call(ms)
          return HELLO
        })
      }
      return [downstream]
    }
  },

  /** A call that queues nowhere between two halves of computing: what queues is the loop. */
  'cpu and io': {
    routes (app) {
      app.get('/', async () => {
        burn(1)
        await sleep(10)
        burn(1)
        return HELLO
      })
      return []
    }
  },

  /** Its downstream takes twice as long from 4 s on behind the first call, and is itself again at 9 s. */
  stepping: {
    routes (app) {
      const downstream = new VariedDownstream(SLOTS)
      let first: number | undefined
      app.get('/', async () => {
        const since = performance.now() - (first ??= performance.now())
        await downstream.call(since >= SLOWER_AT && since < ITSELF_AT ? 2 * SERVICE : SERVICE)
        return HELLO
      })
      return [downstream]
    },
    options: () => ({ tuned: { concurrency: TUNED } })
  },

  /** Calls of five seconds to a downstream that has room for them all. */
  long: {
    routes: calling(5000, 5000)
  },

  probes: {
    routes (app) {
      const downstream = new Downstream(SLOTS, SERVICE)
      app.get('/io', async () => {
        await downstream.call()
        return { hello: 'world' }
      })
      app.get('/busy', async () => {
        burn(LIVEZ_BUSY)
        return { hello: 'world' }
      })
      return [downstream]
    },
    options: ({ probePort }) => ({ tuned: { concurrency: TUNED }, 'own port': { lifecycle: { port: probePort } } })
  },

  hello: {
    routes (app) {
      // What its own route /hello is without a gate.
      app.get('/ungated', { config: { concurrency: false } }, async () => ({ hello: 'world' }))
      return []
    }
  }
} satisfies Record<string, Workload>

export type WorkloadName = keyof typeof workloads

export function optionsOf (workload: WorkloadName, variant: string, facts: Facts): SurgeOptions {
  const limit = /^limit (\d+)$/.exec(variant)
  if (limit !== null) return { concurrency: { limit: Number(limit[1]) } }
  return ((workloads[workload] as Workload).options?.(facts)[variant === 'no pressure' ? 'tuned' : variant] ?? {}) as SurgeOptions
}
