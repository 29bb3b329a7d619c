// The event loop's own view of its queue: how long the present iteration has run. Synchronous handlers never overlap, so
// their queue is in the kernel where no cap sees it; but all that came in while one iteration ran is handled in the next,
// and whoever comes late in a long one has waited that long already.

/** Milliseconds. Above it an iteration has taken in more than it can serve in good time; a healthy one takes a few. */
export const LOOP_BUDGET_MS = 40

export class LoopIteration {
  readonly #atEnd: (end: () => void) => void
  #began: number | undefined = undefined
  readonly #end = (): void => { this.#began = undefined }

  /** `atEnd` calls back when the present iteration is over. */
  constructor (atEnd: (end: () => void) => void = setImmediate) {
    this.#atEnd = atEnd
  }

  /** Milliseconds since the first request of this iteration: one stamp and one callback an iteration, not a request. */
  age (now: number): number {
    if (this.#began === undefined) {
      this.#began = now
      this.#atEnd(this.#end)
    }
    return now - this.#began
  }
}
