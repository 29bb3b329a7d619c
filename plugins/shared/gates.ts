// The gates of a server, for who looks at them from outside: every context may have its own.
import type { FastifyInstance } from 'fastify'

/** What is read of `app.concurrency`; a worker pool or anything else of that shape would do. */
export interface Gates {
  readonly groups: readonly string[]
  stats: (group: string) => GateCounts
}

export interface GateCounts {
  limit: number
  adaptive: boolean
  inflight: number
  queued: number
  orphans: number
  admitted: number
  shed: Readonly<Record<string, number>>
  gone: number
  orphansTimedOut: number
}

/** The contexts that may have gates. */
export class GateView {
  readonly #contexts = new Set<object>()

  watch (app: FastifyInstance): void {
    this.#contexts.add(app)
    app.addHook('onRegister', context => { this.#contexts.add(context) })
  }

  /** A context without gates of its own inherits those of the one around it, which count once. */
  get all (): Set<Gates> {
    const gates = new Set<Gates>()
    for (const context of this.#contexts) {
      const own = (context as { concurrency?: Gates }).concurrency
      if (own !== undefined) gates.add(own)
    }
    return gates
  }
}
