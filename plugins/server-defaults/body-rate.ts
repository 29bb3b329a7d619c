// Judges how fast a request body comes in, by Kestrel's rule: after `grace` it must have come at `bytesPerSecond` on
// average. It prevents a body that drips in byte by byte from holding a socket and a handler (R-U-Dead-Yet).
//
//   too slow  ⇔  charged > grace  and  bytes < charged × bytesPerSecond
//
// Only time in which the server was ready to read is charged, so that a slow consumer is never held against its sender.
// What came faster counts ahead for a minute at most: Kestrel's average alone lets a sender of 1 GB stop for 48 days.

export interface MinBodyRate {
  /** Bytes a second, on average. An integer ≥ 1. @default 240 */
  bytesPerSecond: number
  /** Milliseconds before the rate counts. An integer ≥ 1. @default 5000 */
  grace: number
}

/** Milliseconds that a sender may stand still on the strength of what it sent before. */
export const MAX_AHEAD_MS = 60_000

export class BodyRate {
  readonly #rate: MinBodyRate
  /** In bytes × 1000, as milliseconds × bytes a second have it. */
  #ahead = 0
  #charged = 0
  #last: number
  #bytes: number
  #reading = true

  /** `bytes` is the reading of the counter when the body began. */
  constructor (rate: MinBodyRate, now: number, bytes: number) {
    this.#rate = rate
    this.#last = now
    this.#bytes = bytes
  }

  /**
   * True when the body is too slow. `reading` says whether the server reads from this sender right now; the time since
   * the last look is charged when it did at both ends.
   */
  look (now: number, bytes: number, reading: boolean): boolean {
    const { bytesPerSecond, grace } = this.#rate
    const elapsed = now - this.#last
    this.#ahead += (bytes - this.#bytes) * 1000
    if (reading && this.#reading) {
      this.#charged += elapsed
      this.#ahead -= elapsed * bytesPerSecond
    }
    this.#ahead = Math.min(this.#ahead, MAX_AHEAD_MS * bytesPerSecond)
    this.#last = now
    this.#bytes = bytes
    this.#reading = reading
    return this.#charged > grace && this.#ahead < 0
  }
}
