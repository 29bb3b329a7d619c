// What `request.jsonStream()` returns: the elements of the body as an async iterable, used once. Elements come one by one, or in
// the batches that they were parsed in, and whatever ends the body early ends the iteration with an error.
import { JsonElementInvalid, JsonStreamMisuse } from '../shared/errors.ts'
import type { BodyReader } from './body-reader.ts'
import type { ElementValidator } from './element-validator.ts'
import { located, type JsonStreamError } from './failure.ts'
import type { Guard } from './guard.ts'

export interface ElementError {
  index: number
  message: string
  /** What the validator said, as in the `validation` of Fastify's own errors. */
  validation: unknown
}

/** The place of an element that failed its schema and was collected. */
const INVALID = Symbol('invalid element')

export class JsonStream<T> implements AsyncIterable<T> {
  /** The element delivered last; -1 before the first. In batches, the batch's last. */
  index = -1
  /** Elements that failed their schema so far, where `collectErrors` collects them. */
  readonly errors: ElementError[] = []
  readonly #body: BodyReader
  readonly #guard: Guard
  readonly #validate: ElementValidator | undefined
  readonly #collectErrors: number
  readonly #onDone: (failure?: Error) => void
  #used = false
  #done = false
  #ended = false
  /** Comes behind the elements of the batch. */
  #failure: Error | undefined
  #batch: unknown[] = []
  #at = 0
  /** The index of the batch's first element. */
  #first = 0
  #waiting = 0
  #turn: Promise<unknown> = Promise.resolve()
  #abort: AbortController | undefined

  /** @param onDone nobody reads on: the iteration ended, was left, or failed */
  constructor (body: BodyReader, guard: Guard, validate: ElementValidator | undefined, collectErrors: number, onDone: (failure?: Error) => void) {
    this.#body = body
    this.#guard = guard
    this.#validate = validate
    this.#collectErrors = collectErrors
    this.#onDone = onDone
    body.onFailure = error => this.#abort?.abort(error)
  }

  /** Bytes of the decoded body read so far. */
  get bytesRead (): number {
    return this.#guard.bytesRead
  }

  /** Aborts when the body fails: the client leaves or falls silent, or sends what is refused, or the reply goes out before the end. */
  get signal (): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      const failure = this.#body.failure ?? this.#failure
      if (failure !== undefined) this.#abort.abort(failure)
    }
    return this.#abort.signal
  }

  /** The elements in the arrays that they were parsed in, about one for each 64 KiB: the fastest way. */
  batches (): AsyncIterableIterator<T[]> {
    return this.#iterate<T[]>(() => {
      const batch = this.#batch
      if (batch.length === 0) return undefined
      // It is the consumer's from here on, to be emptied or added to.
      this.#batch = []
      this.index = this.#first + batch.length - 1
      const valid = this.errors.length > 0 ? batch.filter(element => element !== INVALID) : batch
      return valid.length > 0 ? { done: false, value: valid as T[] } : undefined
    })
  }

  [Symbol.asyncIterator] (): AsyncIterableIterator<T> {
    return this.#iterate<T>(() => {
      while (this.#at < this.#batch.length) {
        const value = this.#batch[this.#at]
        this.index = this.#first + this.#at++
        if (value !== INVALID) return { done: false, value: value as T }
      }
      return undefined
    })
  }

  /** @param take takes from the batch at hand, `undefined` when it has no more */
  #iterate<R> (take: () => IteratorYieldResult<R> | undefined): AsyncIterableIterator<R> {
    if (this.#used) throw new JsonStreamMisuse('request.jsonStream() is iterated once: the body is gone as it is read')
    this.#used = true
    const advance = async (): Promise<IteratorResult<R>> => {
      while (true) {
        this.#check()
        const taken = take()
        if (taken !== undefined) return taken
        if (this.#done || !await this.#pull()) return { done: true, value: undefined }
      }
    }
    const settled = (): void => { this.#waiting-- }
    const iterator: AsyncIterableIterator<R> = {
      next: () => {
        if (this.#waiting === 0 && this.#body.failure === undefined && !this.#done) {
          const taken = take()
          if (taken !== undefined) return Promise.resolve(taken)
        }
        // Calls that come before an earlier one is answered are answered in their order.
        this.#waiting++
        const turn = this.#turn.then(advance)
        this.#turn = turn.then(settled, settled)
        return turn
      },
      return: async () => {
        this.#finish()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator
  }

  /** Throws what ended the body: at once when the client left, else behind the last element. */
  #check (): void {
    const failure = this.#body.failure ?? (this.#at === this.#batch.length ? this.#failure : undefined)
    if (failure === undefined || this.#done) return
    this.#finish(failure)
    throw failure
  }

  /** Reads until there is a batch; false at the end. */
  async #pull (): Promise<boolean> {
    if (this.#failure !== undefined) return true
    if (this.#ended) {
      this.#finish()
      return false
    }
    // A failed read is thrown by #check, so that there is one place where the iteration fails.
    const chunk = await this.#body.read().catch(() => undefined)
    if (chunk === undefined || this.#done) return !this.#done
    this.#ended = chunk === null
    this.#first = this.#guard.index
    this.#at = 0
    this.#batch = chunk === null ? this.#guard.end() : this.#guard.push(chunk)
    this.#failure = this.#guard.failure
    this.#body.parsed(this.#batch.length)
    try {
      if (this.#validate !== undefined) this.#validateBatch(this.#validate)
    } catch (error) {
      // The validator itself is at fault: nothing of this batch was judged.
      this.#batch = []
      this.#failure = error as Error
    }
    if (chunk === null && this.#failure === undefined && this.errors.length > 0) this.#failure = this.#refused()
    if (this.#failure !== undefined) this.#abort?.abort(this.#failure)
    return true
  }

  #validateBatch (validate: ElementValidator): void {
    const batch = this.#batch
    for (let at = 0; at < batch.length; at++) {
      const fault = validate(batch, at)
      if (fault === undefined) continue
      this.errors.push({ index: this.#first + at, ...fault })
      if (this.errors.length > this.#collectErrors) {
        batch.length = at
        this.#failure = this.#refused()
        return
      }
      batch[at] = INVALID
    }
  }

  #refused (): JsonStreamError {
    const [first] = this.errors
    const more = this.errors.length - 1
    const error = new JsonElementInvalid(first!.index, first!.message + (more > 0 ? ` (and ${more} more)` : ''))
    return Object.assign(located(error, first!.index), { validation: first!.validation, validationContext: 'body', errors: this.errors })
  }

  #finish (failure?: Error): void {
    if (this.#done) return
    this.#done = true
    this.#batch = []
    this.#at = 0
    this.#onDone(failure)
  }
}
