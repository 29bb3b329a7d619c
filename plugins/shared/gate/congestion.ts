// Tells a standing queue from a burst, as CoDel does (RFC 8289; for servers: Maurer, "Fail at Scale", ACM Queue 2015): a
// burst is gone within an interval, so when for all of an interval nobody got in without waiting longer than the target, the
// queue stands. The wait that counts is that of the oldest in the room, who would be next if first came first: were it that
// of whoever is admitted, taking the newest first would end the congestion that it is the answer to.

const INTERVAL_MS = 100
const SHORTEST_TARGET_MS = 20
const SERVICE_WEIGHT = 1 / 16

export class Congestion {
  congested = false
  /** Milliseconds that a claim runs, a moving average. */
  service = 0
  readonly #target: number | 'service'
  /** Since when every wait was above the target. */
  #above: number | undefined = undefined
  #last = -Infinity

  constructor (target: number | 'service') {
    this.#target = target
  }

  /** Milliseconds: a wait that is longer is one in a queue that may stand. */
  get target (): number {
    return this.#target === 'service' ? Math.max(SHORTEST_TARGET_MS, this.service) : this.#target
  }

  /** A claim ran for so many milliseconds. */
  served (service: number): void {
    this.service += (service - this.service) * SERVICE_WEIGHT
  }

  /** Somebody is admitted while the oldest has waited for `wait` milliseconds; 0 in an empty room. */
  admitted (wait: number, now: number): void {
    if (wait <= this.target) this.#above = undefined
    // After a silence nobody knows whether it is the same queue.
    else if (this.#above === undefined || now - this.#last >= 2 * INTERVAL_MS) this.#above = now
    this.congested = this.#above !== undefined && now - this.#above >= INTERVAL_MS
    this.#last = now
  }
}
