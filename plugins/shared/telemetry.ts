// Where plugins that may not import each other meet: rare events on diagnostics channels, published
// only when somebody listens, and one log line a while instead of one for each refusal.
import { channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from './clock.ts'
import type { Refusal } from './refusal.ts'

/** A request was refused, or would have been in a dry run: `{ by, reason, code, route, dryRun }`. */
export const refusedChannel = channel('fastify-surge:refused')
/** The server began to drain: `{}`. */
export const drainChannel = channel('fastify-surge:drain')

const LOG_EVERY_MS = 5_000

/** Counts refusals by reason, tells the channel, and logs the first of a burst and then a sum every 5 s. */
export class RefusalLog {
  readonly #log: FastifyBaseLogger
  readonly #clock: Clock
  readonly #unlogged = new Map<string, { count: number, since: number }>()

  constructor (log: FastifyBaseLogger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  record (refusal: Refusal, route: string, dryRun: boolean): void {
    if (refusedChannel.hasSubscribers) {
      refusedChannel.publish({ by: refusal.by, reason: refusal.reason, code: refusal.code, route, dryRun })
    }
    const key = refusal.by + refusal.reason
    const seen = this.#unlogged.get(key)
    const now = this.#clock.now()
    if (seen !== undefined && now - seen.since < LOG_EVERY_MS) {
      seen.count++
      return
    }
    this.#unlogged.set(key, { count: 0, since: now })
    this.#log.warn(
      { by: refusal.by, reason: refusal.reason, code: refusal.code, route, sinceLastLine: (seen?.count ?? 0) + 1, dryRun: dryRun || undefined },
      dryRun ? `would refuse: ${refusal.message}` : `refused: ${refusal.message}`
    )
  }
}
