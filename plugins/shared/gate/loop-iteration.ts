// The event loop's own view of its queue: how long its iterations have been too long. Synchronous handlers never overlap,
// so their queue is in the kernel where no cap sees it; but all that came in while one iteration ran is handled in the
// next, and whoever comes late in a long one has waited that long already.
//
// As with a queue, one long iteration is a burst (code that is compiled, a collection of garbage) and says nothing:
//
//   busy  =  this iteration > 35 ms  and  none has been shorter, nor the loop idle, for 100 ms, or 250 ms if it is the first
//
// The budget decides between goodput and how prompt a refusal is: who is refused has waited for an iteration, and for its
// own place in the next. With 20 ms a handler of 2 ms gives a tenth of its goodput away, with 40 ms a third of the refusals
// takes longer than 100 ms at five times the capacity.

const BUDGET_MS = 35
const STANDING_MS = 100
const BURST_MS = 250
/** After a short iteration the next is timed this much later only: to hear of its end costs the loop a turn. */
const REST_MS = 5
/** A pause between two iterations with requests that is longer was idle time. */
const IDLE_MS = 10

export class LoopIteration {
  readonly #now: () => number
  readonly #atEnd: (end: () => void) => void
  #began: number | undefined = undefined
  #ended = -Infinity
  #long = false
  /** When the loop was last known to keep up. */
  #healthy = -Infinity

  /** `atEnd` calls back when the present iteration is over. */
  constructor (now: () => number, atEnd: (end: () => void) => void = setImmediate) {
    this.#now = now
    this.#atEnd = atEnd
  }

  /** One stamp and one callback an iteration at most, not a request. */
  busy (now: number): boolean {
    if (this.#began === undefined) {
      if (!this.#long && now - this.#ended < REST_MS) return false
      if (now - this.#ended > IDLE_MS) {
        this.#healthy = now
        this.#long = false
      }
      this.#began = now
      this.#atEnd(this.#end)
    }
    return now - this.#began > BUDGET_MS && now - this.#healthy > (this.#long ? STANDING_MS : BURST_MS)
  }

  readonly #end = (): void => {
    const now = this.#now()
    this.#long = now - this.#began! > BUDGET_MS
    if (!this.#long) this.#healthy = now
    this.#ended = now
    this.#began = undefined
  }
}
