// What a quota asks of one request: who it is, how much it may have, what it costs. Everything is worked out at once
// where the app's own functions answer at once; a promise is made only where one of them does.
import { parse } from '@lukeed/ms'
import { isPromise } from '../shared/promise.ts'
import { listed, type AddressKey } from './allow-list.ts'
import type { Claim, OnStoreError } from './counter.ts'
import { Policy } from './gcra.ts'

/** What `RateLimit` can say: an Integer of structured fields (RFC 9651, section 3.3.1). */
const MOST = 999_999_999_999_999
const A_MINUTE = 60_000
const A_CENTURY = 100 * 365 * 86_400_000

type Maybe<T> = T | Promise<T>
type ByRequest<Request, T> = (request: Request, key: string) => Maybe<T>

export interface ClaimOptions<Request> {
  max: number | ByRequest<Request, number>
  timeWindow: number | ByRequest<Request, number>
  burst: number | undefined
  policies: readonly Policy[] | undefined
  cost: number | ((request: Request) => Maybe<number>)
  keyGenerator: ((request: Request) => Maybe<string | number>) | undefined
  allowList: readonly string[] | ByRequest<Request, boolean> | undefined
  ipv6Subnet: number
  onStoreError: OnStoreError
}

export class Claims<Request extends { ip: string | undefined }> {
  readonly #options: ClaimOptions<Request>
  readonly #addressKey: AddressKey
  /** Where nothing depends on the request. */
  readonly #policies: readonly Policy[] | undefined
  readonly #allowed: ByRequest<Request, boolean> | undefined

  constructor (options: ClaimOptions<Request>, addressKey: AddressKey) {
    const { max, timeWindow: window, burst, policies, allowList } = options
    this.#options = options
    this.#addressKey = addressKey
    this.#policies = policies ?? (typeof max === 'number' && typeof window === 'number' ? [new Policy({ max, window, burst })] : undefined)
    this.#allowed = allowList === undefined || typeof allowList === 'function' ? allowList : listed(allowList, addressKey)
  }

  /** Undefined for who is on the allow list. */
  of (request: Request): Maybe<Claim | undefined> {
    const key = this.keyOf(request)
    return isPromise(key) ? Promise.resolve(key).then(key => this.#byKey(request, key)) : this.#byKey(request, key)
  }

  keyOf (request: Request): Maybe<string> {
    const { keyGenerator, ipv6Subnet } = this.#options
    // A Unix socket has no address: all of its clients are one.
    if (keyGenerator === undefined) return this.#addressKey(request.ip ?? '', ipv6Subnet)
    return keyGenerator(request) as Maybe<string>
  }

  /** A claim without a request, for a client that is named by its key. */
  named (client: string | number): Claim | undefined {
    const { keyGenerator, ipv6Subnet } = this.#options
    const key = keyGenerator === undefined ? this.#addressKey(String(client), ipv6Subnet) : String(client)
    return this.#policies && { key, policies: this.#policies, cost: 1, onStoreError: this.#options.onStoreError }
  }

  #byKey (request: Request, key: string): Maybe<Claim | undefined> {
    if (this.#allowed === undefined) return this.#byPolicies(request, key)
    const allowed = this.#allowed(request, key)
    if (isPromise(allowed)) return Promise.resolve(allowed).then(allowed => allowed ? undefined : this.#byPolicies(request, key))
    return allowed ? undefined : this.#byPolicies(request, key)
  }

  #byPolicies (request: Request, key: string): Maybe<Claim> {
    if (this.#policies !== undefined) return this.#byCost(request, key, this.#policies)
    const { max, timeWindow, burst } = this.#options
    const most = typeof max === 'function' ? max(request, key) : max
    if (isPromise(most)) return Promise.resolve(most).then(async most => this.#byCost(request, key, [policyOf(most, typeof timeWindow === 'function' ? await timeWindow(request, key) : timeWindow, burst)]))
    const window = typeof timeWindow === 'function' ? timeWindow(request, key) : timeWindow
    if (isPromise(window)) return Promise.resolve(window).then(window => this.#byCost(request, key, [policyOf(most, window, burst)]))
    return this.#byCost(request, key, [policyOf(most, window, burst)])
  }

  #byCost (request: Request, key: string, policies: readonly Policy[]): Maybe<Claim> {
    const { cost, onStoreError } = this.#options
    if (typeof cost !== 'function') return { key, policies, cost, onStoreError }
    const given = cost(request)
    if (isPromise(given)) return Promise.resolve(given).then(given => ({ key, policies, cost: sane(given), onStoreError }))
    return { key, policies, cost: sane(given), onStoreError }
  }
}

/** What is read from a request may be anything; undefined where it is no number ≥ 0, nor the text of one. */
function amount (given: unknown): number | undefined {
  const value = typeof given === 'string' ? Number.parseFloat(given) : given
  return typeof value === 'number' && value >= 0 ? value : undefined
}

/** What is no number would stand in the account for good, and null would be free. */
function sane (cost: unknown): number {
  return amount(cost) ?? 1
}

/** Nonsense admits nobody: it must not turn the limit off. Infinity is what a header can still tell. */
function policyOf (max: unknown, window: unknown, burst: number | undefined): Policy {
  const length = amount(typeof window === 'string' ? parse(window) : window)
  const most = length === undefined ? 0 : Math.min(Math.floor(amount(max) ?? 0), MOST)
  return new Policy({ max: most, window: Math.min(length ?? A_MINUTE, A_CENTURY), burst })
}
