// What it takes to run: a slot of the semaphore, and where the gate has a rate a token of the bucket as well. It prevents
// one being taken without the other: a slot comes back by release, a token by the clock.
import type { Limit } from './limit.ts'
import { TokenBucket, type Rate } from './token-bucket.ts'

export class Permits {
  /** How many slots there are; replaced by one that is set by hand. */
  limit: Limit
  /** Slots taken. */
  taken = 0
  readonly #tokens: TokenBucket | undefined

  constructor (limit: Limit, rate: Rate | undefined) {
    this.limit = limit
    this.#tokens = rate && new TokenBucket(rate)
  }

  get slotFree (): boolean {
    return this.taken < this.limit.current
  }

  /** Who waits, waits for a slot. A queue for tokens is meant to stand, and says nothing of the service. */
  get slotsAreShort (): boolean {
    return this.#tokens === undefined || !this.slotFree
  }

  /** Takes a slot and a token; false when either is missing, and then neither is taken. */
  take (now: number): boolean {
    if (!this.slotFree || this.#tokens?.take(now) === false) return false
    this.taken++
    return true
  }

  /** Gives back a slot. */
  release (): void {
    this.taken--
  }

  /** Milliseconds until the next token is there, when `ahead` others take theirs before; −Infinity without a rate. */
  tokenDue (now: number, ahead = 0): number {
    return this.#tokens === undefined ? -Infinity : this.#tokens.wait(now, ahead)
  }
}
