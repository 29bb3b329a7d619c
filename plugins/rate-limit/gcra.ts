// A quota a client as one number a policy: how far ahead of its rate the client is, in milliseconds of debt. It prevents
// what windows allow, twice the quota across their border. The generic cell rate algorithm (ITU-T I.371 annex A), with
// the debt (tat − now) in place of the theoretical arrival time:
//
//   T = window / max       debt' = debt + T·cost       wait = debt' − T·burst       admitted while wait ≤ 0
//
// Debt is paid off by time alone. A refused request adds none, unless it is penalised.

/** No charge reaches further than a year past the quota: what comes of a wild one must stay a number that Redis takes for a duration. */
const MAX_DEBT_MS = 365 * 86_400_000
/** What exponential back-off may grow to, unless the window is longer. */
const MAX_BACKOFF_MS = 86_400_000

export interface PolicyOptions {
  name?: string | undefined
  /** Requests in one window, ≥ 0; 0 admits nobody. */
  max: number
  /** Milliseconds; 0 limits nobody. */
  window: number
  /** Requests at once after a pause. @default max */
  burst?: number | undefined
}

export class Policy {
  readonly name: string
  readonly max: number
  readonly window: number
  readonly burst: number
  /** Milliseconds of debt that one request costs. */
  readonly interval: number
  /** Milliseconds of debt that are allowed. */
  readonly tolerance: number
  /** `max` as headers have it. */
  readonly limit: string

  constructor ({ name = 'default', max, window, burst = max }: PolicyOptions) {
    this.name = name
    this.max = max
    this.window = window
    this.burst = max === 0 ? 0 : burst
    this.interval = window / (max === 0 ? 1 : max)
    this.tolerance = this.interval * this.burst
    this.limit = String(Math.ceil(max))
  }

  /** Whether it refuses what the other one refuses. */
  is ({ name, interval, burst, window }: Policy): boolean {
    return this.name === name && this.interval === interval && this.burst === burst && this.window === window
  }

  /** What one of `instances` servers may admit while they cannot count together. */
  share (instances: number): Policy {
    if (instances === 1 || this.max === 0) return this
    const { name, max, window, burst } = this
    return new Policy({ name, max: max / instances, window, burst: Math.max(1, Math.floor(burst / instances)) })
  }
}

/** Whole seconds, never too few; a microsecond is what sums of fractions are off. */
export function wholeSeconds (ms: number): number {
  return Math.max(0, Math.ceil((ms - 1e-3) / 1000))
}

/** What refusals lead to. */
export interface Penalties {
  /** Refusals after which the client is banned for a window; -1 never. */
  readonly ban: number
  /** Each refusal keeps the client out for a whole window. */
  readonly continueExceeding: boolean
  /** Each refusal doubles the time that the client is kept out, from one window on. */
  readonly exponentialBackoff: boolean
}

/** True when refusals have to be counted; then each of them writes. */
export function countsRefusals ({ ban, continueExceeding, exponentialBackoff }: Penalties): boolean {
  return ban !== -1 || continueExceeding || exponentialBackoff
}

export interface Level {
  readonly policy: Policy
  /** Whole requests that would be admitted now. */
  readonly remaining: number
  /** Milliseconds until the whole quota is there again; of what refuses, until the request would be admitted. */
  readonly reset: number
}

export interface Decision {
  readonly outcome: 'admitted' | 'refused' | 'banned'
  /** Milliseconds until the request would be admitted; 0 where it was. */
  readonly wait: number
  /** The policy that refuses for longest; of an admitted request the one that has the least left. */
  readonly told: Level
  readonly levels: readonly Level[]
}

/** How one client stands with one policy. */
export interface Account {
  debt: number
  /** Refusals since the quota was last whole. */
  strikes: number
}

/** A cost above the burst would never be admitted: it takes the whole burst. */
function price (policy: Policy, cost: number): number {
  return policy.interval * Math.min(cost, Math.max(1, policy.burst))
}

/** A thousandth of a request, a microsecond at most: sums of fractions of milliseconds are that far off, never more. */
function slack (policy: Policy): number {
  return Math.min(policy.interval, 1) / 1000
}

/** Milliseconds that the policy keeps out for the `strikes`th refusal. */
export function penalty (strikes: number, { window }: Policy, { ban, continueExceeding, exponentialBackoff }: Penalties): number {
  if (exponentialBackoff) return Math.min(window * 2 ** (strikes - 1), Math.max(window, MAX_BACKOFF_MS))
  // Once, when the ban is reached: it would never end for a client that asks again before it does.
  return continueExceeding || strikes === ban + 1 ? window : 0
}

/** Milliseconds until the policy admits the request; 0 or less where it does now. */
function needed (policy: Policy, cost: number, { debt }: Account): number {
  if (policy.burst === 0) return policy.window
  const wait = debt + price(policy, cost) - policy.tolerance
  return wait > slack(policy) ? wait : 0
}

/** Which policy refuses for longest; -1 where none does. */
function refusedBy (policies: readonly Policy[], cost: number, accounts: readonly Account[]): number {
  let by = -1
  let longest = 0
  for (let i = 0; i < policies.length; i++) {
    const wait = needed(policies[i]!, cost, accounts[i]!)
    if (wait <= longest) continue
    by = i
    longest = wait
  }
  return by
}

/** Decides a request on all policies of its quota, which admit it together or not at all, and enters it in the accounts. */
export function decide (policies: readonly Policy[], cost: number, penalties: Penalties, accounts: readonly Account[]): Decision {
  const by = refusedBy(policies, cost, accounts)
  if (by === -1) {
    for (let i = 0; i < policies.length; i++) {
      const account = accounts[i]!
      account.debt += price(policies[i]!, cost)
      // It has served its ban.
      if (penalties.ban !== -1 && account.strikes > penalties.ban) account.strikes = 0
    }
    return describe('admitted', policies, accounts, -1, 0)
  }
  const account = accounts[by]!
  const policy = policies[by]!
  let wait = needed(policy, cost, account)
  if (countsRefusals(penalties)) {
    const kept = penalty(++account.strikes, policy, penalties)
    if (kept > wait) {
      wait = kept
      account.debt = kept + policy.tolerance - price(policy, cost)
    }
    // Who never had a request admitted owes nothing, and strikes are remembered with debts only.
    if (policy.burst === 0) account.debt = Math.max(account.debt, wait)
  }
  return describe(isBanned(account, penalties) ? 'banned' : 'refused', policies, accounts, by, wait)
}

/** How the client stands before its next request: refused when one of cost 1 would be. */
export function look (policies: readonly Policy[], penalties: Penalties, accounts: readonly Account[]): Decision {
  const by = refusedBy(policies, 1, accounts)
  if (by === -1) return describe('admitted', policies, accounts, -1, 0)
  return describe(isBanned(accounts[by]!, penalties) ? 'banned' : 'refused', policies, accounts, by, needed(policies[by]!, 1, accounts[by]!))
}

function isBanned ({ strikes }: Account, { ban }: Penalties): boolean {
  return ban !== -1 && strikes > ban
}

/** Adds to the debts without asking, or takes off them where `tokens` is negative. */
export function enter (policies: readonly Policy[], tokens: number, accounts: readonly Account[]): void {
  for (let i = 0; i < policies.length; i++) {
    const account = accounts[i]!
    const { interval, tolerance } = policies[i]!
    account.debt = Math.min(Math.max(0, account.debt + interval * tokens), tolerance + MAX_DEBT_MS)
  }
}

/** Takes back what decide() has entered for an admitted request of that cost. */
export function giveBack (policies: readonly Policy[], cost: number, accounts: readonly Account[]): void {
  for (let i = 0; i < policies.length; i++) {
    const account = accounts[i]!
    account.debt = Math.max(0, account.debt - price(policies[i]!, cost))
  }
}

/** How the accounts stand; `by` is the policy that refuses, -1 where none does. */
export function describe (outcome: Decision['outcome'], policies: readonly Policy[], accounts: readonly { readonly debt: number }[], by: number, wait: number): Decision {
  if (policies.length === 1) {
    const told = level(policies[0]!, accounts[0]!.debt, by === 0, wait)
    return { outcome, wait, told, levels: [told] }
  }
  const levels: Level[] = []
  let told: Level | undefined
  for (let i = 0; i < policies.length; i++) {
    const next = level(policies[i]!, accounts[i]!.debt, i === by, wait)
    levels.push(next)
    if (i === by || (by === -1 && (told === undefined || next.remaining < told.remaining))) told = next
  }
  return { outcome, wait, told: told!, levels }
}

function level (policy: Policy, debt: number, refuses: boolean, wait: number): Level {
  return refuses ? { policy, remaining: 0, reset: wait } : { policy, remaining: left(policy, debt), reset: debt }
}

function left ({ interval, tolerance, burst }: Policy, debt: number): number {
  return interval === 0 ? burst : Math.max(0, Math.floor((tolerance - debt) / interval + 1e-3))
}
