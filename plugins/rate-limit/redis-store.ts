// Counts in Redis or Valkey for all servers together: one EVALSHA a decision, none for a client that is known to be
// refused. One key a client and counter, so that a cluster needs no more than to hash it.
import { createHash } from 'node:crypto'
import type { Clock } from '../shared/clock.ts'
import { accountKey } from './account-key.ts'
import type { Answer, Claim, RemoteCounter } from './counter.ts'
import { Denials } from './denials.ts'
import { countsRefusals, describe, type Decision, type Penalties } from './gcra.ts'
import { SCRIPT, SCRIPT_SHA } from './redis-script.ts'
import { storeError } from './store-error.ts'

/** Runs the script on one key. */
type Run = (key: string, args: string[]) => Promise<unknown>

const OUTCOMES = ['admitted', 'refused', 'banned'] as const

/** True for a client of ioredis, iovalkey or node-redis, or a cluster of one. */
export function isRedisClient (client: any): boolean {
  return isNodeRedis(client) || isIoredis(client)
}

function isNodeRedis (client: any): boolean {
  return typeof client?.evalSha === 'function' && typeof client.eval === 'function'
}

function isIoredis (client: any): boolean {
  return typeof client?.evalsha === 'function' && typeof client.eval === 'function' && typeof client.defineCommand === 'function'
}

/** The two ways in which clients take a script. It is sent whole where the server does not have it: restarted, flushed, failed over. */
function runnerOf (client: any): Run {
  const [bySha, whole]: Run[] = isNodeRedis(client)
    ? [(key, args) => client.evalSha(SCRIPT_SHA, { keys: [key], arguments: args }), (key, args) => client.eval(SCRIPT, { keys: [key], arguments: args })]
    : [(key, args) => client.evalsha(SCRIPT_SHA, 1, key, ...args), (key, args) => client.eval(SCRIPT, 1, key, ...args)]
  return async function run (key, args) {
    try {
      return await bySha!(key, args)
    } catch (error) {
      if (!/^NOSCRIPT/.test((error as Error | undefined)?.message ?? '')) throw error
      return await whole!(key, args)
    }
  }
}

export class RedisStore {
  readonly run: Run
  readonly nameSpace: string
  readonly denials: Denials

  constructor (client: unknown, nameSpace: string, clock: Clock) {
    this.run = runnerOf(client)
    this.nameSpace = nameSpace
    this.denials = new Denials(clock)
  }

  counter (name: string, penalties: Penalties): RedisCounter {
    return new RedisCounter(this, name, penalties)
  }
}

export class RedisCounter implements RemoteCounter {
  readonly #store: RedisStore
  readonly #name: string
  readonly #penalties: string[]
  /** Every refusal has to reach the store where they count. */
  readonly #counting: boolean
  readonly #bans: boolean

  constructor (store: RedisStore, name: string, penalties: Penalties) {
    this.#store = store
    this.#name = name
    this.#counting = countsRefusals(penalties)
    this.#bans = penalties.ban !== -1 && !penalties.continueExceeding && !penalties.exponentialBackoff
    this.#penalties = [String(penalties.ban), penalties.continueExceeding ? '1' : '0', penalties.exponentialBackoff ? '1' : '0']
  }

  known ({ key, cost, policies }: Claim): Decision | undefined {
    const { denials } = this.#store
    return denials.size === 0 ? undefined : denials.get(this.#key(key), cost, policies)
  }

  take (claim: Claim, done: Answer<Decision>): void {
    this.#ask('take', claim.cost, claim, (error, decision) => {
      if (error === null && decision!.outcome !== 'admitted' && (!this.#counting || (this.#bans && decision!.outcome === 'banned'))) {
        this.#store.denials.add(this.#key(claim.key), claim.cost, decision!)
      }
      done(error, decision)
    })
  }

  peek (claim: Claim, done: Answer<Decision>): void {
    this.#ask('peek', 0, claim, done)
  }

  add (claim: Claim, tokens: number, done: Answer<Decision>): void {
    if (tokens < 0) this.#store.denials.delete(this.#key(claim.key))
    this.#ask('add', tokens, claim, done)
  }

  refund (claim: Claim, done: Answer<Decision>): void {
    this.#store.denials.delete(this.#key(claim.key))
    this.#ask('refund', claim.cost, claim, done)
  }

  reset (claim: Claim, done: Answer<void>): void {
    this.#store.denials.delete(this.#key(claim.key))
    this.#ask('reset', 0, claim, error => done(error))
  }

  #ask (mode: string, amount: number, { key, policies }: Claim, done: Answer<Decision>): void {
    const args = [mode, String(amount), ...this.#penalties]
    for (const { interval, burst, window } of policies) args.push(String(interval * 1000), String(burst), String(window * 1000))
    this.#store.run(this.#key(key), args).then(answer => {
      const [outcome, by, wait, ...debts] = (answer as unknown[]).map(Number) as [number, number, number, ...number[]]
      if (OUTCOMES[outcome] === undefined || debts.length !== policies.length || !debts.every(Number.isFinite)) throw new Error(`Expected the answer of the script of the rate limit, got ${JSON.stringify(answer)}`)
      return describe(OUTCOMES[outcome], policies, debts.map(debt => ({ debt: debt / 1000 })), by - 1, wait / 1000)
    }).then(decision => done(null, decision), error => done(storeError(error)))
  }

  /** In braces a cluster hashes what is between them. No other key begins with a bar. */
  #key (client: string): string {
    const key = accountKey(this.#name, client)
    const short = key.length > LONGEST_KEY ? `|${createHash('sha256').update(key).digest('base64url')}` : key
    return `${this.#store.nameSpace}{${short}}`
  }
}

const LONGEST_KEY = 200
