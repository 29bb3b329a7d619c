// The bounded room in which waiters stand while their gate is full: one line a priority. It prevents an unbounded
// queue, in which everybody waits until everybody has given up.
import { Line } from '../line.ts'
import type { Priority, Waiter } from './waiter.ts'

export class WaitingRoom {
  /** By priority, 0 first. */
  readonly #lines: readonly [Line<Waiter>, Line<Waiter>, Line<Waiter>] = [new Line(), new Line(), new Line()]
  size = 0

  /** How many are served before a newcomer of this priority; of its own fewer, where the newest goes first. */
  ahead (priority: Priority): number {
    let ahead = 0
    for (let line = 0; line <= priority; line++) ahead += this.#lines[line]!.size
    return ahead
  }

  join (waiter: Waiter, now: number): void {
    waiter.state = 'WAIT'
    waiter.since = now
    this.#lines[waiter.priority].push(waiter)
    this.size++
  }

  leave (waiter: Waiter): void {
    this.#lines[waiter.priority].remove(waiter)
    this.size--
  }

  /** Takes out who is next: of the highest priority the oldest, or the newest, who has most of its patience left. */
  next (newestFirst: boolean): Waiter | undefined {
    for (const line of this.#lines) {
      const waiter = newestFirst ? line.last : line.first
      if (waiter !== undefined) return this.#take(waiter)
    }
    return undefined
  }

  /** Takes out the oldest of the lowest priority, if that is lower than `priority`. */
  yielding (priority: Priority): Waiter | undefined {
    for (let lowest = 2; lowest > priority; lowest--) {
      const { first } = this.#lines[lowest]!
      if (first !== undefined) return this.#take(first)
    }
    return undefined
  }

  /** Takes out somebody who joined at or before `since`. */
  expired (since: number): Waiter | undefined {
    for (const { first } of this.#lines) {
      if (first !== undefined && first.since <= since) return this.#take(first)
    }
    return undefined
  }

  /** When the one who has waited longest joined; Infinity in an empty room. */
  get oldest (): number {
    let oldest = Infinity
    for (const { first } of this.#lines) {
      if (first !== undefined && first.since < oldest) oldest = first.since
    }
    return oldest
  }

  #take (waiter: Waiter): Waiter {
    this.leave(waiter)
    return waiter
  }
}
