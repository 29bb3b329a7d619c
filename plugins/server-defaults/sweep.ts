// One timer that looks at every connection once an interval, instead of a timer each: 5,000 idle sockets cost one pass
// of some hundred microseconds. It stands still while there is nobody to look at.
import type { Clock } from '../shared/clock.ts'

export interface Swept {
  look: (now: number) => void
}

export class Sweep {
  readonly #interval: number
  readonly #clock: Clock
  readonly #afterPoll: (fn: () => void) => unknown
  readonly #members = new Set<Swept>()
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

  get size (): number {
    return this.#members.size
  }

  add (member: Swept): void {
    this.#members.add(member)
    if (this.#timer === undefined) this.#wait()
  }

  delete (member: Swept): void {
    this.#members.delete(member)
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
    for (const member of this.#members) member.look(now)
    // One chain, whoever came and went since the timer fired.
    this.#clock.clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#members.size > 0) this.#wait()
  }
}
