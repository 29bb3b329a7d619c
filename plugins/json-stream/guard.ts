// Counts the bytes of a body before anything reads them: what lies past `maxBytes` reaches no engine.
import { JsonTooLarge } from '../shared/errors.ts'
import type { Engine } from './engine.ts'
import { located, type JsonStreamError } from './failure.ts'

export class Guard implements Engine {
  failure: JsonStreamError | undefined
  /** Bytes of the decoded body so far. */
  bytesRead = 0
  readonly #engine: Engine
  readonly #maxBytes: number

  constructor (engine: Engine, maxBytes: number) {
    this.#engine = engine
    this.#maxBytes = maxBytes
  }

  get index (): number {
    return this.#engine.index
  }

  push (chunk: Buffer): unknown[] {
    const allowed = this.#maxBytes - this.bytesRead
    const tooLong = chunk.length > allowed
    // The bytes within the limit are read, so that the same elements come out however the body was cut.
    const values = this.#engine.push(tooLong ? chunk.subarray(0, allowed) : chunk)
    this.bytesRead += tooLong ? allowed : chunk.length
    this.failure = this.#engine.failure
    if (tooLong) this.failure ??= located(new JsonTooLarge(this.#maxBytes), this.index, this.#maxBytes)
    return values
  }

  end (): unknown[] {
    const values = this.#engine.end()
    this.failure = this.#engine.failure
    return values
  }
}
