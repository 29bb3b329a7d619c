// Counts the compression contexts that are open at a time. Each holds 0.2 to 0.7 MB for as long as its client takes to
// read, so that without a cap slow readers decide about the server's memory.

export class ContextBudget {
  readonly #max: number
  #open = 0

  constructor (max: number) {
    this.#max = max
  }

  get open (): number {
    return this.#open
  }

  /** Half of the places are taken. */
  get strained (): boolean {
    return this.#open > 0 && this.#open * 2 >= this.#max
  }

  /** False when the cap is reached: the reply goes out plain. */
  take (): boolean {
    if (this.#open >= this.#max) return false
    this.#open++
    return true
  }

  /** Exactly once for each `take` that was true. */
  give (): void {
    this.#open--
  }
}
