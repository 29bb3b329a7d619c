// Stands for a database or another service: ten connections, each busy for 20 ms with a query. Like most clients it
// has a queue of its own without a bound, which is where a server under load loses its time when nobody caps it.
import { setTimeout as sleep } from 'node:timers/promises'

export const CONNECTIONS = 10
export const QUERY_MS = 20

export interface Order { id: number, product: number, quantity: number }

export class Downstream {
  #free = CONNECTIONS
  readonly #waiting: Array<() => void> = []

  /** @throws the signal's reason when it aborts before a connection is free */
  async orders (signal: AbortSignal): Promise<Order[]> {
    await this.#connection()
    try {
      signal.throwIfAborted()
      await sleep(QUERY_MS)
      return Array.from({ length: 5 }, (_, index) => ({ id: 5001 + index, product: 1 + index * 37, quantity: 1 + index % 3 }))
    } finally {
      this.#release()
    }
  }

  async #connection (): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>(resolve => { this.#waiting.push(resolve) })
  }

  #release (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
