// What the server does with a request: calls on a downstream with so many servers and an endless queue before them,
// work on its own loop, or both. Each can do 500 requests a second.
import { lognormal, type Events } from './engine.ts'

export interface Backend {
  /** Works on one request of a route; `done` when its handler has settled. */
  work: (route: number, done: () => void) => void
  /** Runs `admit` when the loop comes to the new request. */
  arrive: (live: () => boolean, admit: () => void) => void
  /** Draws the route of a request. */
  route: () => number
}

export type Workload = (events: Events, random: () => number) => Backend

/** `servers` at a time, the others first come, first served. */
export class Pool {
  readonly #events: Events
  readonly #queue: Array<{ ms: () => number, done: () => void }> = []
  #head = 0
  #busy = 0
  servers: number

  constructor (events: Events, servers: number) {
    this.#events = events
    this.servers = servers
  }

  add (ms: () => number, done: () => void): void {
    this.#queue.push({ ms, done })
    this.#next()
  }

  get waiting (): number { return this.#queue.length - this.#head }

  #next (): void {
    while (this.#busy < this.servers && this.#head < this.#queue.length) {
      const { ms, done } = this.#queue[this.#head]!
      this.#queue[this.#head++] = undefined!
      this.#busy++
      this.#events.after(ms(), () => {
        this.#busy--
        done()
        this.#next()
      })
    }
  }
}

export function idleLoop (work: Backend['work'], route: Backend['route'] = () => 0): Backend {
  return { work, route, arrive: (_live, admit) => admit() }
}

function downstream (servers: number, service: (random: () => number, route: number) => number, slowRoutes = 0): Workload {
  return (events, random) => {
    const pool = new Pool(events, servers)
    return idleLoop((route, done) => pool.add(() => service(random, route), done), () => random() < slowRoutes ? 1 : 0)
  }
}

const ACCEPT = 0.05

export const workloads: Record<string, Workload> = {
  'I/O': downstream(10, () => 20),
  lognormal: downstream(10, random => lognormal(random, 20, 1)),
  bimodal: downstream(10, random => random() < 0.1 ? 155 : 5),
  mixed: downstream(10, (_random, route) => route === 1 ? 80 : 5, 0.2),
  CPU: events => {
    const loop = new Pool(events, 1)
    // A synchronous handler is part of the turn that admitted it: nobody else is admitted before it has ended.
    let turn: { cost: number, done: () => void } | undefined
    return {
      route: () => 0,
      arrive (live, admit) {
        const mine = { cost: ACCEPT, done: noop }
        loop.add(() => {
          turn = mine
          if (live()) admit()
          turn = undefined
          return mine.cost
        }, () => mine.done())
      },
      work (_route, done) {
        if (turn === undefined) loop.add(() => 2, done)
        else Object.assign(turn, { cost: 2, done })
      }
    }
  },
  'CPU and I/O': events => {
    const loop = new Pool(events, 1)
    return {
      route: () => 0,
      arrive: (live, admit) => loop.add(() => ACCEPT, () => { if (live()) admit() }),
      work (_route, done) {
        loop.add(() => 1, () => events.after(10, () => loop.add(() => 1, done)))
      }
    }
  },
  'mixed, apart': (events, random) => {
    const pool = new Pool(events, 10)
    return idleLoop(
      (route, done) => route === 1 ? pool.add(() => 40, done) : events.after(2, done),
      () => random() < 0.5 ? 1 : 0)
  }
}

function noop () {}
