// A store over the network that can neither fail nor hold a request: each question ends within `storeTimeout`, a store
// that is down is not asked, and what happens meanwhile is the user's choice: count here, admit, or refuse.
import type { Clock } from '../shared/clock.ts'
import { Line, Link } from '../shared/line.ts'
import { Breaker } from './breaker.ts'
import type { Answer, Claim, Counter, RemoteCounter, Undecided, Verdict } from './counter.ts'
import type { Decision } from './gcra.ts'
import { storeError } from './store-error.ts'

const UNCOUNTED: Undecided = { outcome: 'uncounted' }
const UNAVAILABLE: Undecided = { outcome: 'unavailable' }
const ONE_BY_ONE = 'A store of your own counts requests one by one: it can neither charge nor refund'

export interface GuardOptions {
  /** Milliseconds that a request waits for the store at most. */
  storeTimeout: number
  /** Servers that share the quotas: while they cannot count together, each admits its part. */
  instances: number
  clock: Clock
  /** Calls back behind what the event loop has to read first. */
  afterReading: (fn: () => void) => void
  /** The store was given up, or is back. */
  changed: (up: boolean, error: Error | undefined) => void
}

export interface StoreStats {
  /** Whether the store answers. */
  up: boolean
  /** Questions that it was asked. */
  asked: number
  /** Errors that it answered with. */
  failed: number
  /** Questions that it did not answer in time. */
  timedOut: number
  /** Questions that it was not asked because it was down. */
  skipped: number
  /** Refusals that were known without asking. */
  known: number
}

/** One question, in the line of those that wait for their answer. */
class Question<T> extends Link {
  readonly #guard: Guard
  readonly #done: Answer<T>
  open = true

  constructor (guard: Guard, done: Answer<T>) {
    super()
    this.#guard = guard
    this.#done = done
  }

  answered = (error: Error | null, result?: T): void => {
    if (!this.open) return
    this.open = false
    this.#guard.over(this, error)
    this.#done(error, result)
  }
}

/** What all counters of a store share. */
export class Guard {
  readonly options: GuardOptions
  readonly stats: StoreStats = { up: true, asked: 0, failed: 0, timedOut: 0, skipped: 0, known: 0 }
  readonly #breaker = new Breaker()
  readonly #waiting = new Line<Question<any>>()
  /** One for all questions: each has the same time, so they end in the order in which they were asked. */
  #timer: unknown

  constructor (options: GuardOptions) {
    this.options = options
  }

  /** False when the store is down and it is not the time to try; after true it has to be asked. */
  asks (): boolean {
    const asks = this.#breaker.asks(this.options.clock.now())
    if (!asks) this.stats.skipped++
    return asks
  }

  ask<T> (question: (done: Answer<T>) => void, done: Answer<T>): void {
    const waiting = new Question<T>(this, done)
    waiting.since = this.options.clock.now()
    this.stats.asked++
    this.#waiting.push(waiting)
    if (this.#timer === undefined) this.#arm(this.options.storeTimeout)
    try {
      question(waiting.answered)
    } catch (error) {
      waiting.answered(storeError(error))
    }
  }

  over (question: Question<any>, error: Error | null): void {
    this.#waiting.remove(question)
    if (error === null) {
      if (this.#breaker.succeeded()) this.#change(true, undefined)
      return
    }
    if (!(error instanceof StoreTimeout)) this.stats.failed++
    if (this.#breaker.failed(this.options.clock.now())) this.#change(false, error)
  }

  #change (up: boolean, error: Error | undefined): void {
    this.stats.up = up
    this.options.changed(up, error)
  }

  /** Somebody waits, and a store that hangs keeps no process alive. */
  #arm (ms: number): void {
    const { clock } = this.options
    this.#timer = clock.setTimeout(this.#due, ms)
    clock.hold(this.#timer, true)
  }

  /** The loop may have been busy while the answer came: it is read first, so that load on us is not held against the store. */
  #due = (): void => {
    this.options.afterReading(this.#expire)
  }

  #expire = (): void => {
    const { clock, storeTimeout } = this.options
    const now = clock.now()
    for (;;) {
      const { first } = this.#waiting
      if (first === undefined) {
        this.#timer = undefined
        return
      }
      const left = first.since + storeTimeout - now
      if (left > 0) {
        this.#arm(Math.ceil(left))
        return
      }
      this.stats.timedOut++
      first.answered(new StoreTimeout(`no answer within ${storeTimeout} ms`))
    }
  }
}

class StoreTimeout extends Error {}

export class GuardedCounter implements Counter {
  readonly #guard: Guard
  readonly #remote: RemoteCounter
  readonly #local: Counter

  constructor (guard: Guard, remote: RemoteCounter, local: Counter) {
    this.#guard = guard
    this.#remote = remote
    this.#local = local
  }

  now (claim: Claim): Verdict | undefined {
    const known = this.#remote.known?.(claim)
    if (known !== undefined) {
      this.#guard.stats.known++
      return known
    }
    return this.#guard.asks() ? undefined : this.#without(claim)
  }

  later (claim: Claim, done: (verdict: Verdict) => void): void {
    this.#guard.ask<Decision>(answer => this.#remote.take(claim, answer), (error, decision) => {
      done(error === null ? decision! : this.#without(claim))
    })
  }

  peek (claim: Claim): Promise<Decision> {
    const { peek } = this.#remote
    if (peek === undefined) return Promise.reject(new Error('The store has no `read`, which is needed to look without counting'))
    return this.#ask(claim, done => peek.call(this.#remote, claim, done), local => this.#local.peek(local))
  }

  add (claim: Claim, tokens: number): Promise<Decision> {
    const { add } = this.#remote
    if (add === undefined) return Promise.reject(new Error(ONE_BY_ONE))
    return this.#ask(claim, done => add.call(this.#remote, claim, tokens, done), local => this.#local.add(local, tokens))
  }

  refund (claim: Claim): Promise<Decision> {
    const { refund } = this.#remote
    if (refund === undefined) return Promise.reject(new Error(ONE_BY_ONE))
    return this.#ask(claim, done => refund.call(this.#remote, claim, done), local => this.#local.refund(local))
  }

  async reset (claim: Claim): Promise<void> {
    const { reset } = this.#remote
    if (reset === undefined) throw new Error('A store of your own cannot be reset from here')
    await this.#local.reset(claim)
    await this.#ask<void>(claim, done => reset.call(this.#remote, claim, done), async () => {})
  }

  #ask<T> (claim: Claim, question: (done: Answer<T>) => void, locally: (claim: Claim) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const fallBack = (error: Error) => {
        if (claim.onStoreError === 'local') locally(this.#share(claim)).then(resolve, reject)
        else reject(error)
      }
      if (!this.#guard.asks()) return fallBack(new Error('The store of the rate limit is down'))
      this.#guard.ask<T>(question, (error, result) => error === null ? resolve(result!) : fallBack(error))
    })
  }

  #without (claim: Claim): Verdict {
    if (claim.onStoreError === 'open') return UNCOUNTED
    if (claim.onStoreError === 'closed') return UNAVAILABLE
    return this.#local.now(this.#share(claim))!
  }

  #share (claim: Claim): Claim {
    const { instances } = this.#guard.options
    return instances === 1 ? claim : { ...claim, policies: claim.policies.map(policy => policy.share(instances)) }
  }
}
