// Does what comes up in one iteration of the event loop sixteen at a time, the rest behind its intake. It prevents work that is
// small from being done between two pieces of other work, each of which takes the processor's caches from the other.
import { AsyncResource } from 'node:async_hooks'

const SIZE = 16
/** Who has waited longer is not held up by what comes next. */
const LATE_MS = 2

/** With the async context that it came up in, which is its request's. */
class Item<Value> extends AsyncResource {
  readonly value: Value

  constructor (value: Value) {
    super('fastify-surge.batch', { requireManualDestroy: true })
    this.value = value
  }
}

export class Batch<Value> {
  readonly #work: (value: Value) => void
  readonly #soon: (callback: () => void) => void
  #items: Array<Item<Value>> = []
  /** When the first of them came, in milliseconds. */
  #since = 0
  /** The end of this iteration's intake will be heard of. */
  #armed = false

  /** `work` must not throw, or the rest of its batch is not done. `soon` calls back when the present iteration's intake is over, as setImmediate does. */
  constructor (work: (value: Value) => void, soon: (callback: () => void) => void = setImmediate) {
    this.#work = work
    this.#soon = soon
  }

  /** @param now milliseconds */
  add (value: Value, now: number): void {
    if (this.#items.length === 0) this.#since = now
    this.#items.push(new Item(value))
    if (this.#items.length >= SIZE) this.#flush()
    else if (!this.#armed) {
      this.#armed = true
      this.#soon(this.#end)
    }
  }

  /** To be called before something that may take long: does what has waited for a while. */
  catchUp (now: number): void {
    if (this.#items.length > 0 && now - this.#since > LATE_MS) this.#flush()
  }

  readonly #end = (): void => {
    this.#armed = false
    this.#flush()
  }

  #flush (): void {
    const items = this.#items
    // What the work brings up is of the next batch.
    this.#items = []
    for (const item of items) item.runInAsyncScope(this.#work, undefined, item.value)
  }
}
