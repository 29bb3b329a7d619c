// Watches all deadlines with one timer, set to the next that is due. Nearly every request ends long before its own, so
// starting and stopping one only links and unlinks it, and the timer is left to fire and look.
import { Line } from '../shared/line.ts'
import type { Clock } from '../shared/clock.ts'
import type { Deadline } from './deadline.ts'

export class Deadlines {
  readonly #line = new Line<Deadline>()
  readonly #clock: Clock
  #timer: unknown
  #due = Infinity
  /** How many have nothing else that keeps the process alive. */
  #alone = 0

  constructor (clock: Clock) {
    this.#clock = clock
  }

  get size (): number {
    return this.#line.size
  }

  /** `since` is when it was last looked at: a standing one is asked a whole timeout later whether its body moves. */
  start (deadline: Deadline, now = this.#clock.now()): void {
    deadline.since = now
    this.#line.push(deadline)
    this.#arm(dueOf(deadline, now), now)
    if (deadline.alone && this.#alone++ === 0) this.#clock.hold(this.#timer, true)
  }

  /** False when it was not watched, or is no more. */
  stop (deadline: Deadline): boolean {
    if (!this.#line.remove(deadline)) return false
    if (deadline.alone && --this.#alone === 0 && this.#timer !== undefined) this.#clock.hold(this.#timer, false)
    return true
  }

  /** To be called when a deadline that stood still runs again. */
  resumed (deadline: Deadline): void {
    const now = this.#clock.now()
    this.#arm(dueOf(deadline, now), now)
  }

  #arm (due: number, now: number): void {
    if (due >= this.#due) return
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer)
    this.#due = due
    this.#timer = this.#clock.setTimeout(() => this.#look(), Math.max(1, Math.ceil(due - now)))
    if (this.#alone > 0) this.#clock.hold(this.#timer, true)
  }

  #look (): void {
    this.#timer = undefined
    this.#due = Infinity
    const now = this.#clock.now()
    let next = Infinity
    const over: Deadline[] = []
    for (let deadline = this.#line.first; deadline !== undefined; deadline = deadline.next as Deadline | undefined) {
      // A standing one that moves is looked at again a whole timeout later.
      if (dueOf(deadline, now) <= now && deadline.standing && deadline.moved()) deadline.since = now
      const due = dueOf(deadline, now)
      if (due > now) next = Math.min(next, due)
      else over.push(deadline)
    }
    if (next !== Infinity) this.#arm(next, now)
    // Whoever hears of its end may end others: the line is not walked meanwhile.
    for (const deadline of over) {
      if (this.stop(deadline)) deadline.expired()
    }
  }
}

function dueOf (deadline: Deadline, now: number): number {
  return deadline.standing ? deadline.since + deadline.timeout : now + deadline.remaining(now)
}
