// One timer that looks at every connection once an interval, instead of a timer each: 5,000 idle sockets cost one pass
// of some hundred microseconds. It stands still while there is nobody to look at.
import type { Clock } from '../shared/clock.ts'
import { Line, type Link } from '../shared/line.ts'

/** Stands in the line of one sweep. */
export interface Swept extends Link {
  look: (now: number) => void
}

export class Sweep {
  readonly #interval: number
  readonly #clock: Clock
  readonly #afterPoll: (fn: () => void) => unknown
  /** Threaded through its members: a set takes 50 bytes for each. */
  readonly #members = new Line<Swept>()
  #timer: unknown

  /**
   * `afterPoll` calls its function once what has arrived meanwhile is read: behind a block of the event loop timers
   * come first, and would find every sender silent.
   */
  constructor (interval: number, clock: Clock, afterPoll: (fn: () => void) => unknown = setImmediate) {
    this.#interval = interval
    this.#clock = clock
    this.#afterPoll = afterPoll
  }

  add (member: Swept): void {
    this.#members.push(member)
    if (this.#timer === undefined) this.#wait()
  }

  delete (member: Swept): void {
    this.#members.remove(member)
    if (this.#members.size > 0) return
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #wait (): void {
    this.#timer = this.#clock.setTimeout(this.#due, this.#interval)
  }

  readonly #due = (): void => { this.#afterPoll(this.#look) }

  readonly #look = (): void => {
    const now = this.#clock.now()
    for (let member = this.#members.first; member !== undefined;) {
      // Whoever is ended by this look leaves the line.
      const next = member.next as Swept | undefined
      member.look(now)
      member = next
    }
    // One chain, whoever came and went since the timer fired.
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#members.size > 0) this.#wait()
  }
}
