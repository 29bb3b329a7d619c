// What a store is asked, and what it answers: at once where it can, later by callback where it has to go over the
// network. A counter is one route's, one group's, or that of all routes without a quota of their own.
import type { Decision, Policy } from './gcra.ts'

/** What is done while a store does not answer: count here, admit, or refuse. */
export type OnStoreError = 'local' | 'open' | 'closed'

/** One request as a counter sees it. */
export interface Claim {
  /** As `keyGenerator` made it, which may be a number where the official types say string: the app's callbacks are told the same. */
  readonly key: string
  readonly policies: readonly Policy[]
  readonly cost: number
  readonly onStoreError: OnStoreError
}

/** The store failed, and by the user's choice the request is admitted without being counted, or refused. */
export type Undecided = { readonly outcome: 'uncounted' } | { readonly outcome: 'unavailable' }

export type Verdict = Decision | Undecided

export interface Counter {
  /** Decides at once, or answers undefined. `at` is the clock's time where the caller has just read it. */
  now: (claim: Claim, at?: number) => Verdict | undefined
  /** Decides where `now` could not; never fails, and answers within `storeTimeout`. */
  later: (claim: Claim, done: (verdict: Verdict) => void) => void
  /** How the client stands, without counting. */
  peek: (claim: Claim) => Promise<Decision>
  /** Charges so many requests without asking, or refunds them where negative. */
  add: (claim: Claim, tokens: number) => Promise<Decision>
  /** Gives back what the request of this claim was charged where it was admitted. */
  refund: (claim: Claim) => Promise<Decision>
  reset: (claim: Claim) => Promise<void>
}

export type Answer<T> = (error: Error | null, result?: T) => void

/** A counter that is reached over the network, and so may fail or hang. */
export interface RemoteCounter {
  /** A decision that is known here already. */
  known?: (claim: Claim) => Decision | undefined
  take: (claim: Claim, done: Answer<Decision>) => void
  peek?: ((claim: Claim, done: Answer<Decision>) => void) | undefined
  add?: (claim: Claim, tokens: number, done: Answer<Decision>) => void
  refund?: (claim: Claim, done: Answer<Decision>) => void
  reset?: (claim: Claim, done: Answer<void>) => void
}
