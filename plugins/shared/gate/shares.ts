// Counts the claims of each key, so that while a gate is full one client cannot hold all of it. The table holds live
// claims only: a key without one takes no memory.

export class Shares {
  readonly #max: number
  readonly #claims = new Map<string, number>()

  constructor (max: number) {
    this.#max = max
  }

  /** True when the key has as many claims as it may; one without a key shares with nobody. */
  exhausted (key: string | undefined): boolean {
    return key !== undefined && (this.#claims.get(key) ?? 0) >= this.#max
  }

  add (key: string | undefined): void {
    if (key !== undefined) this.#claims.set(key, (this.#claims.get(key) ?? 0) + 1)
  }

  remove (key: string | undefined): void {
    if (key === undefined) return
    const left = this.#claims.get(key)! - 1
    if (left === 0) this.#claims.delete(key)
    else this.#claims.set(key, left)
  }
}
