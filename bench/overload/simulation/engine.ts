// The machinery of the simulation: a heap of events in time order, and seeded random draws, so that every run of a
// seed is the same run.
import type { Clock } from '../../../plugins/shared/clock.ts'

interface Event { at: number, order: number, fn: () => void }

export class Events implements Clock {
  readonly #heap: Event[] = []
  #order = 0
  #now = 0

  readonly now = (): number => this.#now

  after (ms: number, fn: () => void): Event {
    const heap = this.#heap
    const event = { at: this.#now + ms, order: this.#order++, fn }
    let i = heap.length
    heap.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
    return event
  }

  setTimeout (fn: () => void, ms: number): Event {
    return this.after(ms, fn)
  }

  hold (): void {}

  clearTimeout (event: Event): void {
    event.fn = noop
  }

  /** Runs what is due until `end`. */
  run (end: number): void {
    for (let event = this.#heap[0]; event !== undefined && event.at <= end; event = this.#heap[0]) {
      this.#pop()
      this.#now = event.at
      event.fn()
    }
    this.#now = end
  }

  #pop (): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}

function before (a: { at: number, order: number }, b: { at: number, order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** Uniform in [0, 1): mulberry32. */
export function randomOf (seed: number): () => number {
  let state = (seed * 2654435761) >>> 0
  return function random () {
    state = (state + 0x6D2B79F5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function exponential (random: () => number, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** Lognormal with the given arithmetic mean. */
export function lognormal (random: () => number, mean: number, sigma: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return mean * Math.exp(sigma * normal - sigma * sigma / 2)
}

function noop () {}
