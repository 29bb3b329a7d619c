// Tells a standing queue from a burst, as CoDel does (RFC 8289; for servers: Maurer, "Fail at Scale", ACM Queue 2015): a
// burst is gone within an interval, so when even the shortest wait of an interval was above the target, the queue stands.
// The wait that counts is that of the oldest in the room, who would be next if first came first: were it that of whoever
// is admitted, taking the newest first would end the congestion that it is the answer to.

const INTERVAL_MS = 100

export class Congestion {
  #since = -Infinity
  #shortest = Infinity
  #congested = false

  get congested (): boolean {
    return this.#congested
  }

  /** Somebody is admitted while the oldest has waited for `wait` milliseconds; 0 in an empty room. */
  admitted (wait: number, target: number, now: number): void {
    if (now - this.#since >= INTERVAL_MS) {
      // An interval that ended in silence says nothing of the one that begins.
      this.#congested = this.#shortest !== Infinity && this.#shortest > target && now - this.#since < 2 * INTERVAL_MS
      this.#shortest = Infinity
      this.#since = now
    }
    if (wait < this.#shortest) this.#shortest = wait
    if (wait <= target) this.#congested = false
  }
}
