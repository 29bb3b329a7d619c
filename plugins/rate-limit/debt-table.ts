// Debts in fixed memory: a set-associative table of 16 bytes a client. A flood of new keys neither grows it nor pushes out
// whoever is in debt: an account that is paid off is free, and when a set is full the smallest debt goes.
//
//   hash ──▶ set ┌────────┬────────┬─────┬────────┐   8 slots: fingerprint (32 bits), strikes (32), tat (64)
//                │ slot 0 │ slot 1 │  …  │ slot 7 │   tat ≤ now: free
//                └────────┴────────┴─────┴────────┘

const WAYS = 8

export class DebtTable {
  readonly slots: number
  /** When the account is paid off, by slot, in the clock's milliseconds. */
  readonly tat: Float64Array
  readonly strikes: Uint32Array
  readonly #fingerprint: Int32Array
  readonly #setMask: number

  /** `keys` is rounded up to a power of two of at least one set. */
  constructor (keys: number) {
    const sets = 2 ** Math.ceil(Math.log2(Math.max(1, keys / WAYS)))
    this.slots = sets * WAYS
    this.tat = new Float64Array(this.slots)
    this.strikes = new Uint32Array(this.slots)
    this.#fingerprint = new Int32Array(this.slots)
    this.#setMask = sets - 1
  }

  /** The slot of an account that is in debt; -1 where there is none. */
  find (low: number, high: number, now: number): number {
    const first = (low & this.#setMask) * WAYS
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#fingerprint[slot] === high && this.tat[slot]! > now) return slot
    }
    return -1
  }

  /** `slot` is where it was found just now, -1 where it was not. */
  put (slot: number, low: number, high: number, tat: number, strikes: number): void {
    if (slot === -1) {
      slot = this.#smallest((low & this.#setMask) * WAYS)
      this.#fingerprint[slot] = high
    }
    this.tat[slot] = tat
    this.strikes[slot] = strikes
  }

  /** Free slots have the smallest. */
  #smallest (first: number): number {
    let smallest = first
    for (let slot = first + 1; slot < first + WAYS; slot++) {
      if (this.tat[slot]! < this.tat[smallest]!) smallest = slot
    }
    return smallest
  }
}
