// A store of the user's own, by the contract of @fastify/rate-limit: it counts requests in a window by itself, so burst,
// cost and several policies are beyond it.
import { isPromise } from '../shared/promise.ts'
import { accountKey } from './account-key.ts'
import type { Answer, Claim, RemoteCounter } from './counter.ts'
import type { Decision, Penalties } from './gcra.ts'
import { storeError } from './store-error.ts'

type Counted = { current: number, ttl: number }

export interface ContractStore {
  incr: (key: string, done: (error: Error | null, result?: Counted) => void, timeWindow: number, max: number) => unknown
  /** As `incr`, without counting. */
  read?: ContractStore['incr']
}

export class ContractCounter implements RemoteCounter {
  readonly #store: ContractStore
  /** What child() returned may be the same store for every route. */
  readonly #name: string
  readonly #ban: number
  readonly peek: RemoteCounter['peek']

  constructor (store: ContractStore, name: string, { ban }: Penalties) {
    this.#store = store
    this.#name = name
    this.#ban = ban
    if (store.read !== undefined) this.peek = (claim, done) => this.#count('read', claim, done)
  }

  take (claim: Claim, done: Answer<Decision>): void {
    this.#count('incr', claim, done)
  }

  #count (method: 'incr' | 'read', { key, policies }: Claim, done: Answer<Decision>): void {
    const policy = policies[0]!
    const { max, window } = policy
    const asked = this.#store[method]!(accountKey(this.#name, key), (error, result) => {
      if (error !== null && error !== undefined) return done(storeError(error))
      const { current, ttl } = (result ?? {}) as Counted
      if (!Number.isFinite(current) || !Number.isFinite(ttl)) return done(new Error(`Expected \`current\` and \`ttl\` of the store, got ${JSON.stringify(result)}`))
      const refused = method === 'incr' ? current > max : current >= max
      const told = { policy, remaining: Math.max(0, max - current), reset: ttl }
      const outcome = !refused ? 'admitted' : this.#ban !== -1 && current - max > this.#ban ? 'banned' : 'refused'
      done(null, { outcome, wait: refused ? ttl : 0, told, levels: [told] })
    }, window, max)
    // That of an async function: it fails by rejecting, which nobody else hears and would end the process.
    if (isPromise(asked)) asked.then(undefined, error => done(storeError(error)))
  }
}
