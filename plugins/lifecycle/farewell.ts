// Ends what did not end by itself one by one, evenly over a while. It prevents thousands of clients that lose their stream
// in the same moment from coming back to the other servers in the same moment.
//
//   the i-th of n is ended at  window × i / (n + 1):  |──1──2──3──|
import type { Clock } from '../shared/clock.ts'

export class Farewell<T> {
  readonly #clock: Clock
  readonly #end: (item: T) => void
  #left: T[] = []
  #timer: unknown

  constructor (clock: Clock, end: (item: T) => void) {
    this.#clock = clock
    this.#end = end
  }

  /** `window` in milliseconds. Those that have ended meanwhile are `end`'s to recognise. */
  start (items: Iterable<T>, window: number): void {
    this.#left = [...items].reverse()
    this.#arm(window / (this.#left.length + 1))
  }

  stop (): void {
    this.#left = []
    this.#clock.clearTimeout(this.#timer)
  }

  #arm (step: number): void {
    if (this.#left.length === 0) return
    this.#timer = this.#clock.setTimeout(() => {
      this.#end(this.#left.pop()!)
      this.#arm(step)
    }, step)
  }
}
