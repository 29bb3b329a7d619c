// Where plugins that may not import each other meet: rare events on diagnostics channels, published
// only when somebody listens, and one log line a while instead of one for each refusal.
import { channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from './clock.ts'
import type { Add, Instrument } from './instruments.ts'
import type { Refusal } from './refusal.ts'

/** A request was refused, or would have been in a dry run: `{ by, reason, code, route, dryRun }`. */
export const refusedChannel = channel('fastify-surge:refused')
/** The store of a rate limit was given up, or is back: `{ up, error }`. */
export const storeChannel = channel('fastify-surge:store')
/** A gate's limit became another, by itself or by `tune()`: `{ group, limit, before }`. */
export const limitChannel = channel('fastify-surge:limit')
/** The event loop was late by more than `maxEventLoopDelay` in the last sample: `{ eventLoopDelay }`, milliseconds. */
export const stallChannel = channel('fastify-surge:stall')
/** The server began to drain: `{}`. */
export const drainChannel = channel('fastify-surge:drain')

/** Every refusal, whoever refused. */
export const refusals: Instrument = { name: 'fastify.refusals', type: 'counter', help: 'Requests refused, or that would have been in a dry run' }

const LOG_EVERY_MS = 5_000

interface Tally {
  readonly refusal: Refusal
  readonly dryRun: boolean
  total: number
  logged: number
  since: number
}

/** Counts refusals by reason, tells the channel, and logs the first of a burst and then a sum every 5 s. */
export class RefusalLog {
  readonly #log: FastifyBaseLogger
  readonly #clock: Clock
  /** By the refusal itself: a key made of words would have to be hashed each time. */
  readonly #refused = new Map<Refusal, Tally>()
  readonly #wouldRefuse = new Map<Refusal, Tally>()

  constructor (log: FastifyBaseLogger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  record (refusal: Refusal, route: string, dryRun: boolean, now = this.#clock.now()): void {
    if (refusedChannel.hasSubscribers) {
      refusedChannel.publish({ by: refusal.by, reason: refusal.reason, code: refusal.code, route, dryRun })
    }
    const tally = this.#tally(refusal, dryRun)
    tally.total++
    if (now - tally.since < LOG_EVERY_MS) return
    const sinceLastLine = tally.total - tally.logged
    tally.logged = tally.total
    tally.since = now
    this.#log.warn(
      { by: refusal.by, reason: refusal.reason, code: refusal.code, route, sinceLastLine, dryRun: dryRun || undefined },
      dryRun ? `would refuse: ${refusal.message}` : `refused: ${refusal.message}`
    )
  }

  /** Counts since boot, by who refused and why. */
  read (add: Add): void {
    for (const { refusal, dryRun, total } of [...this.#refused.values(), ...this.#wouldRefuse.values()]) {
      add(total, { by: refusal.by, reason: refusal.reason, dry_run: String(dryRun) })
    }
  }

  #tally (refusal: Refusal, dryRun: boolean): Tally {
    const tallies = dryRun ? this.#wouldRefuse : this.#refused
    let tally = tallies.get(refusal)
    if (tally === undefined) tallies.set(refusal, tally = { refusal, dryRun, total: 0, logged: 0, since: -Infinity })
    return tally
  }
}
