// A downstream service as its callers see it: a pool of slots with a constant service time behind a queue without bounds.
// It works on for callers that have lost interest, as databases do.

interface Call { ends: number, resolve: () => void, reject: (error: Error) => void }

export class Downstream {
  /** When each slot is free again, in a ring: with one service time, who came first ends first. */
  readonly #freeAt: Float64Array
  readonly #service: number
  readonly #calls: Call[] = []
  #first = 0
  #slot = 0
  #timer: NodeJS.Timeout | undefined

  /** Capacity is slots / service time, exactly: a call starts when its slot is free, not when this process hears of it. */
  constructor (slots: number, serviceMs: number) {
    this.#freeAt = new Float64Array(slots)
    this.#service = serviceMs
  }

  call (): Promise<void> {
    const ends = Math.max(performance.now(), this.#freeAt[this.#slot]!) + this.#service
    this.#freeAt[this.#slot] = ends
    this.#slot = (this.#slot + 1) % this.#freeAt.length
    return new Promise((resolve, reject) => {
      this.#calls.push({ ends, resolve, reject })
      if (this.#timer === undefined) this.#arm()
    })
  }

  /** Every call fails: the end of a run, not of the world. */
  reset (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const { reject } of this.#calls.splice(0).slice(this.#first)) reject(new Error('the downstream was reset'))
    this.#first = 0
    this.#freeAt.fill(0)
  }

  #arm (): void {
    const due = this.#calls[this.#first]!.ends - performance.now()
    this.#timer = setTimeout(() => this.#end(), Math.max(1, Math.round(due)))
  }

  #end (): void {
    this.#timer = undefined
    const now = performance.now()
    // Half a millisecond early is as near as a timer gets.
    while (this.#first < this.#calls.length && this.#calls[this.#first]!.ends <= now + 0.5) {
      this.#calls[this.#first]!.resolve()
      this.#first++
    }
    if (this.#first === this.#calls.length) {
      this.#calls.length = this.#first = 0
      return
    }
    if (this.#first >= 4096) {
      this.#calls.splice(0, this.#first)
      this.#first = 0
    }
    this.#arm()
  }
}

/** The same with service times that differ: who came first starts first, on the slot that is free first. */
export class VariedDownstream {
  readonly #freeAt: Float64Array
  readonly #calls = new Map<NodeJS.Timeout, (error: Error) => void>()

  constructor (slots: number) {
    this.#freeAt = new Float64Array(slots)
  }

  call (serviceMs: number): Promise<void> {
    const slot = this.#freeAt.indexOf(Math.min(...this.#freeAt))
    const now = performance.now()
    const ends = Math.max(now, this.#freeAt[slot]!) + serviceMs
    this.#freeAt[slot] = ends
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(timer)
        resolve()
      }, Math.max(1, Math.round(ends - now)))
      this.#calls.set(timer, reject)
    })
  }

  reset (): void {
    for (const [timer, reject] of this.#calls) {
      clearTimeout(timer)
      reject(new Error('the downstream was reset'))
    }
    this.#calls.clear()
    this.#freeAt.fill(0)
  }
}
