// Counts for this process alone, in fixed memory, by a clock that nobody sets: a step of the wall clock changes nothing.
import type { Clock } from '../shared/clock.ts'
import type { Claim, Counter } from './counter.ts'
import { DebtTable } from './debt-table.ts'
import { countsRefusals, decide, enter, giveBack, look, type Account, type Decision, type Penalties } from './gcra.ts'
import type { KeyedHash } from './keyed-hash.ts'

/** Policies that one quota may have. */
export const MAX_POLICIES = 8

export class MemoryStore {
  readonly table: DebtTable
  readonly clock: Clock
  readonly hash: KeyedHash
  /** Used by each decision and free after it: none waits for anything. */
  readonly accounts: Account[][] = []

  constructor (keys: number, clock: Clock, hash: KeyedHash) {
    this.table = new DebtTable(keys)
    this.clock = clock
    this.hash = hash
    for (let size = 0; size <= MAX_POLICIES; size++) {
      this.accounts.push(Array.from({ length: size }, () => ({ debt: 0, strikes: 0 })))
    }
  }

  counter (name: string, penalties: Penalties): MemoryCounter {
    return new MemoryCounter(this, name, penalties)
  }
}

export class MemoryCounter implements Counter {
  readonly #store: MemoryStore
  readonly #penalties: Penalties
  readonly #counting: boolean
  /** Where the account opened last is in the table. */
  #slot = -1
  /** Two words a policy that keep it, and this counter, apart from all others in the same table. */
  readonly #salt = new Int32Array(2 * MAX_POLICIES)

  constructor (store: MemoryStore, name: string, penalties: Penalties) {
    this.#store = store
    this.#penalties = penalties
    this.#counting = countsRefusals(penalties)
    for (let i = 0; i < MAX_POLICIES; i++) {
      store.hash.digest(`${i} ${name}`)
      this.#salt[2 * i] = store.hash.low
      this.#salt[2 * i + 1] = store.hash.high
    }
  }

  now ({ key, policies, cost }: Claim, now = this.#store.clock.now()): Decision {
    const accounts = this.#open(key, policies.length, now)
    const decision = decide(policies, cost, this.#penalties, accounts)
    if (decision.outcome === 'admitted' || this.#counting) this.#close(accounts, now)
    return decision
  }

  later (claim: Claim, done: (decision: Decision) => void): void {
    done(this.now(claim))
  }

  async peek ({ key, policies }: Claim): Promise<Decision> {
    return look(policies, this.#penalties, this.#open(key, policies.length, this.#store.clock.now()))
  }

  async add (claim: Claim, tokens: number): Promise<Decision> {
    return this.#change(claim, accounts => enter(claim.policies, tokens, accounts))
  }

  async refund (claim: Claim): Promise<Decision> {
    return this.#change(claim, accounts => giveBack(claim.policies, claim.cost, accounts))
  }

  async reset (claim: Claim): Promise<void> {
    this.#change(claim, accounts => { for (const account of accounts) account.debt = 0 })
  }

  #change ({ key, policies }: Claim, change: (accounts: Account[]) => void): Decision {
    const now = this.#store.clock.now()
    const accounts = this.#open(key, policies.length, now)
    change(accounts)
    this.#close(accounts, now)
    return look(policies, this.#penalties, accounts)
  }

  /** The accounts of a client; its digest stays in the hash until they are closed. */
  #open (key: string, count: number, now: number): Account[] {
    const { hash, table } = this.#store
    const accounts = this.#store.accounts[count]!
    // A number, where the app's keys are numbers.
    hash.digest(String(key))
    for (let i = 0; i < count; i++) {
      const slot = this.#slot = table.find(hash.low ^ this.#salt[2 * i]!, hash.high ^ this.#salt[2 * i + 1]!, now)
      accounts[i]!.debt = slot === -1 ? 0 : table.tat[slot]! - now
      accounts[i]!.strikes = slot === -1 ? 0 : table.strikes[slot]!
    }
    return accounts
  }

  #close (accounts: readonly Account[], now: number): void {
    const { hash, table } = this.#store
    for (let i = 0; i < accounts.length; i++) {
      const { debt, strikes } = accounts[i]!
      const low = hash.low ^ this.#salt[2 * i]!
      const high = hash.high ^ this.#salt[2 * i + 1]!
      // One that was written before this one may have pushed it out.
      const slot = accounts.length === 1 ? this.#slot : table.find(low, high, now)
      // Nothing to remember of an account that is new and paid off: it must not push another one out.
      if (debt > 0 || slot !== -1) table.put(slot, low, high, now + debt, strikes)
    }
  }
}
