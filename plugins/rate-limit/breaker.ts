// Stops asking a store that fails: after three failures in a row nobody is held up by it, and one request a second tries
// whether it is back. It prevents each request from waiting out the timeout of a store that is known to be down.

const FAILURES = 3
const PAUSE_MS = 1_000

export type BreakerState = 'closed' | 'open' | 'probing'

export class Breaker {
  state: BreakerState = 'closed'
  #failures = 0
  #openUntil = 0

  /** True when the store may be asked now; the answer has to be reported. */
  asks (now: number): boolean {
    if (this.state === 'closed') return true
    if (this.state === 'probing' || now < this.#openUntil) return false
    this.state = 'probing'
    return true
  }

  /** True when the store is back. */
  succeeded (): boolean {
    this.#failures = 0
    // What was asked before it opened may be answered late; only a probe closes it.
    if (this.state !== 'probing') return false
    this.state = 'closed'
    return true
  }

  /** True when the store has just been given up. */
  failed (now: number): boolean {
    this.#failures++
    const gaveUp = this.state === 'closed' && this.#failures >= FAILURES
    if (gaveUp || this.state === 'probing') {
      this.state = 'open'
      this.#openUntil = now + PAUSE_MS
    }
    return gaveUp
  }
}
