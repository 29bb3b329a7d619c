// From options to what a request meets: one limit a route, and the counters behind them, which routes may share.
import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { Clock } from '../shared/clock.ts'
import { BadOption } from '../shared/errors.ts'
import type { RouteFacts } from '../shared/route.ts'
import { storeChannel } from '../shared/telemetry.ts'
import { Claims } from './claims.ts'
import { ContractCounter, type ContractStore } from './contract-store.ts'
import type { Counter, RemoteCounter } from './counter.ts'
import { Decisions } from './decisions.ts'
import { Guard, GuardedCounter, type StoreStats } from './guarded-store.ts'
import { KeyedHash } from './keyed-hash.ts'
import { MemoryStore } from './memory-store.ts'
import { AddressKeys } from './official.ts'
import { readRoute, type Quota, type RateLimit } from './options.ts'
import { QuotaHeaders } from './quota-headers.ts'
import { RedisStore } from './redis-store.ts'
import { Refusals } from './refusals.ts'

export interface Limit {
  readonly quota: Quota
  readonly claims: Claims<FastifyRequest>
  readonly counter: Counter
  readonly decisions: Decisions
  readonly headers: QuotaHeaders
  readonly refusals: Refusals
}

interface CustomStore extends ContractStore { child: (params: object) => ContractStore }

/** A counter has one size, one ban and one way to exceed, so the routes that share it must agree on them. */
const OF_THE_COUNTER = ['cache', 'ban', 'continueExceeding', 'exponentialBackoff'] as const

const COMMON = ''

export class Limits {
  readonly decisions = new Decisions()
  readonly #options: RateLimit
  readonly #clock: Clock
  readonly #addresses = new AddressKeys()
  readonly #hash = new KeyedHash(new Uint32Array(new Uint8Array(randomBytes(8)).buffer))
  readonly #tables = new Map<number, MemoryStore>()
  readonly #redis: RedisStore | undefined
  readonly #custom: CustomStore | undefined
  readonly #guard: Guard | undefined
  readonly #counters = new Map<string, Counter>()
  readonly #groups = new Map<string, { route: string, quota: Quota }>()
  /** Those that a client can be named for: by the route's key, or the group's. */
  readonly #named = new Map<string, { setting: unknown, route: RouteFacts }>()
  #created = 0

  constructor (options: RateLimit, clock: Clock, log: FastifyBaseLogger) {
    this.#options = options
    this.#clock = clock
    const { store: Store } = options
    if (Store !== undefined) this.#custom = new Store(options) as unknown as CustomStore
    else if (options.redis) this.#redis = new RedisStore(options.redis, options.nameSpace, clock)
    if (this.#custom === undefined && this.#redis === undefined) return
    const { storeTimeout, instances } = options
    this.#guard = new Guard({ storeTimeout, instances, clock, afterReading: setImmediate, changed })

    function changed (up: boolean, err: Error | undefined): void {
      if (up) log.info('the store of the rate limit answers again')
      else log.error({ err }, `the store of the rate limit fails: until it answers again, onStoreError ('${options.onStoreError}' unless a route says otherwise) holds`)
      if (storeChannel.hasSubscribers) storeChannel.publish({ up, error: err })
    }
  }

  /** True where a store is asked that is not this process's memory. */
  get remote (): boolean { return this.#guard !== undefined }

  get stats (): StoreStats {
    return this.#guard?.stats ?? { up: true, asked: 0, failed: 0, timedOut: 0, skipped: 0, known: 0 }
  }

  read (setting: unknown, route: RouteFacts): Quota | undefined {
    return readRoute(setting, `config.rateLimit of ${route.key}`, this.#options)
  }

  /** Boot check of a route. @throws FST_SURGE_BAD_OPTION */
  declare (setting: unknown, route: RouteFacts): Quota | undefined {
    const quota = this.read(setting, route)
    if (quota === undefined) return undefined
    this.#named.set(route.key, { setting, route })
    if (quota.groupId !== undefined) this.#join(quota.groupId, quota, route)
    return quota
  }

  /** What limits a route; undefined where nothing does. */
  of (setting: unknown, route: RouteFacts): Limit | undefined {
    const quota = this.read(setting, route)
    if (quota === undefined) return undefined
    const own = setting !== undefined && setting !== null
    const name = quota.groupId !== undefined ? `group:${quota.groupId}` : own ? route.key : COMMON
    return this.#limit(quota, name, { method: route.methods, url: route.url, path: route.url, config: route.config })
  }

  /** A limit that belongs to no route. Its name is its number, which is the same in all servers of one app. */
  create (given: unknown): Limit {
    const quota = readRoute(given ?? undefined, 'rateLimit', { ...this.#options, global: true })!
    return given === undefined ? this.#limit(quota, COMMON) : this.#limit(quota, `created:${this.#created++}`)
  }

  /** The limit of a group, of a route ('GET /items'), or of all routes without one of their own. @throws FST_SURGE_BAD_OPTION */
  named ({ group, route }: { group?: string | undefined, route?: string | undefined }): Limit {
    const name = group === undefined ? route : `group:${group}`
    if (name === undefined) return this.create(undefined)
    const found = this.#named.get(name)
    const limit = found && this.of(found.setting, found.route)
    if (limit === undefined) throw new BadOption(`Expected the name of a limited ${group === undefined ? "route, such as 'GET /items/:id'" : 'group'}, got '${group ?? route}'`)
    return limit
  }

  #limit (quota: Quota, name: string, routeInfo: object = {}): Limit {
    return {
      quota,
      claims: new Claims<FastifyRequest>(quota, this.#addresses.of),
      counter: this.#counter(name, quota, routeInfo),
      decisions: this.decisions,
      headers: new QuotaHeaders(quota),
      refusals: new Refusals(quota.problem)
    }
  }

  #join (groupId: string, quota: Quota, route: RouteFacts): void {
    const first = this.#groups.get(groupId)
    if (first === undefined) {
      this.#groups.set(groupId, { route: route.key, quota })
      this.#named.set(`group:${groupId}`, this.#named.get(route.key)!)
      return
    }
    const differs = OF_THE_COUNTER.find(key => first.quota[key] !== quota[key])
    if (differs === undefined) return
    throw new BadOption(`Expected \`config.rateLimit.${differs}\` of ${route.key} to be ${first.quota[differs]}, as in ${first.route}, got ${quota[differs]}: routes of the group '${groupId}' share one counter.`)
  }

  #counter (name: string, quota: Quota, routeInfo: object): Counter {
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      const local = this.#table(quota.cache).counter(name, quota)
      const remote = this.#remote(name, quota, routeInfo)
      counter = remote === undefined ? local : new GuardedCounter(this.#guard!, remote, local)
      this.#counters.set(name, counter)
    }
    return counter
  }

  #remote (name: string, quota: Quota, routeInfo: object): RemoteCounter | undefined {
    if (this.#custom === undefined) return this.#redis?.counter(name, quota)
    const store = name === COMMON ? this.#custom : this.#custom.child({ ...this.#options, ...quota, routeInfo })
    return new ContractCounter(store, name, quota)
  }

  #table (keys: number): MemoryStore {
    let table = this.#tables.get(keys)
    if (table === undefined) this.#tables.set(keys, table = new MemoryStore(keys, this.#clock, this.#hash))
    return table
  }
}
