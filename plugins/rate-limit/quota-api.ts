// `app.quota`: what handlers do with quotas beside being limited by them, such as charging what a reply turned out to
// cost. The debts of a charge may go past the quota: they are paid off before the next request is admitted.
import { isObject, readOptions, readValue, show, string, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { Claim, Counter } from './counter.ts'
import type { Decision } from './gcra.ts'
import type { StoreStats } from './guarded-store.ts'

/** A client by its key, as `keyGenerator` makes it or its address; on all routes without a limit of their own, on a group, or on a route. */
export interface QuotaClient {
  key: string | number
  group?: string
  /** 'GET /items/:id' */
  route?: string
}

const clientRules: Rules<QuotaClient> = {
  key: { expects: 'a string or a number', accepts: value => typeof value === 'string' || typeof value === 'number' },
  group: string,
  route: string
}

/** A target that is no request. @throws FST_SURGE_BAD_OPTION */
export function readClient (target: unknown): QuotaClient {
  if (!isObject(target)) throw new BadOption(`Expected \`target\` to be a request, { key, group } or { key, route }, got ${show(target)}`)
  const client = readOptions<Partial<QuotaClient>>('target', target, clientRules, {})
  readValue('target.key', client.key, clientRules.key)
  return client as QuotaClient
}

export interface QuotaState {
  readonly key: string
  /** True when one more request would be refused now. */
  readonly exceeded: boolean
  readonly banned: boolean
  /** Milliseconds until a request is admitted; 0 where it is now. */
  readonly wait: number
  /** What is left of the policy that has the least left. */
  readonly remaining: number
  readonly policies: readonly {
    readonly name: string
    readonly max: number
    /** Milliseconds. */
    readonly timeWindow: number
    readonly remaining: number
    /** Milliseconds until the whole quota is there again. */
    readonly reset: number
  }[]
}

export interface Found { readonly counter: Counter, readonly claim: Claim }

export class QuotaApi<Request extends object> {
  readonly #find: (target: Request | QuotaClient) => Promise<Found | undefined>
  readonly #stats: () => StoreStats

  /** `find` answers undefined for who is not limited. */
  constructor (find: (target: Request | QuotaClient) => Promise<Found | undefined>, stats: () => StoreStats) {
    this.#find = find
    this.#stats = stats
  }

  /** How the client stands, without counting; undefined for a request that is not limited, such as one on the allow list. @throws FST_SURGE_BAD_OPTION for a target that is none, as the others do */
  async peek (target: Request | QuotaClient): Promise<QuotaState | undefined> {
    const found = await this.#find(target)
    return found && stateOf(found.claim, await found.counter.peek(found.claim))
  }

  /** Counts `tokens` more requests, also past the quota; undefined for a request that is not limited. A number ≥ 0. @default 1 @throws RangeError */
  async charge (target: Request | QuotaClient, tokens = 1): Promise<QuotaState | undefined> {
    const add = checked(tokens)
    return await this.#change(target, ({ counter, claim }) => counter.add(claim, add))
  }

  /** Gives requests back. A number ≥ 0. @default what the request was charged, 1 for a target by key @throws RangeError */
  async refund (target: Request | QuotaClient, tokens?: number): Promise<QuotaState | undefined> {
    const add = tokens === undefined ? undefined : -checked(tokens)
    return await this.#change(target, ({ counter, claim }) => add === undefined ? counter.refund(claim) : counter.add(claim, add))
  }

  /** Forgets what the client has used, and its ban. */
  async reset (target: Request | QuotaClient): Promise<void> {
    const found = await this.#find(target)
    await found?.counter.reset(found.claim)
  }

  /** What became of the questions to a store that is not this process's memory. */
  stats (): StoreStats {
    return { ...this.#stats() }
  }

  async #change (target: Request | QuotaClient, change: (found: Found) => Promise<Decision>): Promise<QuotaState | undefined> {
    const found = await this.#find(target)
    return found && stateOf(found.claim, await change(found))
  }
}

function checked (tokens: number): number {
  if (!(tokens >= 0)) throw new RangeError(`Expected a number of requests ≥ 0, got ${tokens}`)
  return tokens
}

function stateOf ({ key }: Claim, { outcome, wait, told, levels }: Decision): QuotaState {
  return {
    key,
    exceeded: outcome !== 'admitted',
    banned: outcome === 'banned',
    wait,
    remaining: told.remaining,
    policies: levels.map(({ policy: { name, max, window }, remaining, reset }) => ({ name, max, timeWindow: window, remaining, reset }))
  }
}
