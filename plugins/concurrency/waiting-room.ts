// The bounded room in which waiters stand while their gate is full: one line a priority, one timer for all of
// them. It prevents an unbounded queue, in which everybody waits until everybody has given up.
import { Line } from '../shared/line.ts'
import type { Priority, Waiter } from './waiter.ts'

export class WaitingRoom {
  /** By priority, 0 first. */
  readonly #lines: readonly [Line<Waiter>, Line<Waiter>, Line<Waiter>] = [new Line(), new Line(), new Line()]

  get size (): number {
    return this.#lines[0].size + this.#lines[1].size + this.#lines[2].size
  }

  join (waiter: Waiter, now: number): void {
    waiter.state = 'WAIT'
    waiter.since = now
    this.#lines[waiter.priority].push(waiter)
  }

  leave (waiter: Waiter): void {
    this.#lines[waiter.priority].remove(waiter)
  }

  /** Takes out who is next: the oldest of the highest priority. */
  next (): Waiter | undefined {
    for (const line of this.#lines) {
      if (line.first !== undefined) return this.#take(line, line.first)
    }
    return undefined
  }

  /** Takes out the oldest of the lowest priority, if that is lower than `priority`. */
  yielding (priority: Priority): Waiter | undefined {
    for (let lowest = 2; lowest > priority; lowest--) {
      const line = this.#lines[lowest]!
      if (line.first !== undefined) return this.#take(line, line.first)
    }
    return undefined
  }

  /** Takes out somebody who joined at or before `since`. */
  expired (since: number): Waiter | undefined {
    for (const line of this.#lines) {
      if (line.first !== undefined && line.first.since <= since) return this.#take(line, line.first)
    }
    return undefined
  }

  /** When the one who has waited longest joined; Infinity in an empty room. */
  get oldest (): number {
    let oldest = Infinity
    for (const line of this.#lines) {
      if (line.first !== undefined && line.first.since < oldest) oldest = line.first.since
    }
    return oldest
  }

  #take (line: Line<Waiter>, waiter: Waiter): Waiter {
    line.remove(waiter)
    return waiter
  }
}
