// Judges whether a client still takes what is written to it, by what the kernel took off our hands. It prevents a reply
// that nobody reads from holding its memory and its socket; Node has no such limit. Where nothing waits to be written,
// as under a slow handler, there is nothing to judge.

export class WriteStall {
  #waiting = false
  #since = 0
  #flushed = 0
  readonly #timeout: number
  /** Bytes that count as a move. */
  readonly #step: number

  constructor (timeout: number, step = 1) {
    this.#timeout = timeout
    this.#step = step
  }

  /** True when something has waited for `timeout` ms without a move. `flushed` only grows. */
  look (now: number, waiting: boolean, flushed: number): boolean {
    if (!waiting) {
      this.#waiting = false
      return false
    }
    if (!this.#waiting || flushed - this.#flushed >= this.#step) {
      this.#waiting = true
      this.#since = now
      this.#flushed = flushed
      return false
    }
    return now - this.#since >= this.#timeout
  }
}
