// The options of the rate limit: @fastify/rate-limit's, checked at boot instead of silently replaced by defaults,
// and what a route may change of them in `config.rateLimit`.
import type { FastifyRequest } from 'fastify'
import type { RateLimitHook, RateLimitPluginOptions, FastifyRateLimitStoreCtor, errorResponseBuilderContext } from '@fastify/rate-limit'
import { boolean, either, func, integer, isObject, milliseconds, number, object, oneOf, readOptions, show, string, unknownKey, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { OnStoreError } from './counter.ts'
import type { Policy } from './gcra.ts'
import { duration, policies, type PolicyOptions } from './policy-options.ts'
import type { HeaderStyle, HeaderSwitches } from './quota-headers.ts'
import { isRedisClient } from './redis-store.ts'

export type ByRequest<T> = (request: FastifyRequest, key: string) => T | Promise<T>
export type Callback = (request: FastifyRequest, key: string) => void

/** What limits one route; the plugin's options, with the route's `config.rateLimit` laid over them. */
export interface Quota {
  /** Requests of one client in one window. An integer ≥ 0, or a function of (request, key). @default 1000 */
  max: number | ByRequest<number>
  /** Milliseconds, a string such as '1 minute', or a function of (request, key) that returns milliseconds. @default 60000 */
  timeWindow: number | ByRequest<number>
  /** Requests that may come at once after a pause; from then on they come back one by one. An integer ≥ 1. @default max */
  burst: number | undefined
  /** Several quotas at once, in place of `max`, `timeWindow` and `burst`: a request passes all of them or costs none. @default one */
  policies: readonly Policy[] | undefined
  /** How many requests this one counts as. A number ≥ 0, or a function of the request. @default 1 */
  cost: number | ((request: FastifyRequest) => number | Promise<number>)
  /** Where the decision is made; behind 'onRequest' the request holds a slot of its gate already. @default 'onRequest' */
  hook: RateLimitHook | undefined
  /** Who the client is. @default its address, IPv6 by `ipv6Subnet` */
  keyGenerator: ((request: FastifyRequest) => string | number | Promise<string | number>) | undefined
  /** Bits of an IPv6 address that make one client. An integer from 0 to 128. @default 64 */
  ipv6Subnet: number
  /** Keys, addresses or prefixes such as '10.0.0.0/8' that are not limited, or a function of (request, key). @default nobody */
  allowList: readonly string[] | ByRequest<boolean> | undefined
  /** Refusals after which a client is shut out with 403 for a window, counted until its quota is whole again. An integer ≥ 0; -1 never. @default -1 */
  ban: number
  /** Routes of one group count on one counter. @default none */
  groupId: string | undefined
  /** Clients in debt that the memory store counts at the same time, 16 bytes each; the smallest debt is forgotten first. An integer from 1 to 2^24. @default 65536 */
  cache: number
  /** Each refused request keeps the client out for a whole window. @default false */
  continueExceeding: boolean
  /** Each refused request doubles the time that the client is kept out, from one window up to a day. @default false */
  exponentialBackoff: boolean
  /** While the store fails: 'local' counts in this process, at `max` divided by `instances`, 'open' admits, 'closed' answers 503. @default 'local' */
  onStoreError: OnStoreError
  /** @fastify/rate-limit's name for `onStoreError`: true is 'open', false is 'closed'. */
  skipOnError: boolean | undefined
  /** Called for each admitted request. */
  onExceeding: Callback | undefined
  /** Called for each refused request. */
  onExceeded: Callback | undefined
  /** Called for each request refused by the ban. */
  onBanReach: Callback | undefined
  /** Makes the error that the app's error handler is given in place of the prepared 429. */
  errorResponseBuilder: ((request: FastifyRequest, context: errorResponseBuilderContext) => object) | undefined
  /** What tells a client of its quota: 'x-ratelimit', 'draft-11' (`RateLimit`, `RateLimit-Policy`), or false. @default 'x-ratelimit' */
  headers: HeaderStyle
  /** Refusals carry problem details (RFC 9457) with the types of the IETF draft. @default false */
  problem: boolean
  /** The names of 'x-ratelimit' without `x-`. @default false */
  enableDraftSpec: boolean
  /** Headers of refused replies by name. @default all true */
  addHeaders: HeaderSwitches
  /** Headers of admitted replies by name. @default all true */
  addHeadersOnExceeding: HeaderSwitches
}

export interface RateLimit extends Quota {
  /** Limits every route and 404s; false: only routes with `config.rateLimit`. @default true */
  global: boolean
  /** A client of ioredis, iovalkey or node-redis; all servers on it share the counters. @default memory */
  redis: unknown
  /** Prefix of the keys in Redis. @default 'fastify-surge-quota-' */
  nameSpace: string
  /** Milliseconds that a request waits for `redis` or `store` at most. An integer ≥ 1. @default 50 */
  storeTimeout: number
  /** Servers that share the counters, for `onStoreError: 'local'`. An integer ≥ 1. @default 1 */
  instances: number
  /** A store class of your own. */
  store: FastifyRateLimitStoreCtor | undefined
  /** Counts and logs, but refuses nothing and sends no header. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

export interface RateLimitOptions extends RateLimitPluginOptions {
  storeTimeout?: number
  instances?: number
  dryRun?: boolean
}

declare module '@fastify/rate-limit' {
  interface CreateRateLimitOptions {
    burst?: number
    policies?: PolicyOptions[]
    cost?: number | ((request: FastifyRequest) => number | Promise<number>)
    onStoreError?: OnStoreError
  }

  interface RateLimitOptions {
    headers?: HeaderStyle
    problem?: boolean
    // The official plugin reads these two from a route's config as well; its types know them as plugin options only.
    addHeaders?: HeaderSwitches
    addHeadersOnExceeding?: HeaderSwitches
  }
}

const quotaDefaults: Quota = {
  max: 1000,
  timeWindow: 60_000,
  burst: undefined,
  policies: undefined,
  cost: 1,
  hook: undefined,
  keyGenerator: undefined,
  ipv6Subnet: 64,
  allowList: undefined,
  ban: -1,
  groupId: undefined,
  cache: 65_536,
  continueExceeding: false,
  exponentialBackoff: false,
  onStoreError: 'local',
  skipOnError: undefined,
  onExceeding: undefined,
  onExceeded: undefined,
  onBanReach: undefined,
  errorResponseBuilder: undefined,
  headers: 'x-ratelimit',
  problem: false,
  enableDraftSpec: false,
  addHeaders: {},
  addHeadersOnExceeding: {}
}

const defaults: RateLimit = {
  ...quotaDefaults,
  global: true,
  redis: undefined,
  nameSpace: 'fastify-surge-quota-',
  storeTimeout: 50,
  instances: 1,
  store: undefined,
  dryRun: undefined
}

const addresses: Rule = {
  expects: 'a list of keys, addresses or prefixes',
  accepts: value => Array.isArray(value) && value.every(item => typeof item === 'string')
}

const redis: Rule = {
  expects: 'a client of ioredis, iovalkey or node-redis',
  accepts: value => value === null || isRedisClient(value)
}

function switches (...names: string[]): Rule {
  const rules: Record<string, Rule> = Object.fromEntries(names.map(name => [name, boolean]))
  return object((value, path) => readOptions<Record<string, boolean>>(path, value, rules, {}))
}

const QUOTA_HEADERS = ['limit', 'remaining', 'reset'].flatMap(name => [`x-ratelimit-${name}`, `ratelimit-${name}`])

const quotaRules: Rules<Quota> = {
  max: either(integer(0), func),
  timeWindow: either({ ...integer(0), expects: 'milliseconds, an integer ≥ 0' }, duration, func),
  burst: integer(1),
  policies,
  cost: either(number(0), func),
  hook: oneOf('onRequest', 'preParsing', 'preValidation', 'preHandler'),
  keyGenerator: func,
  ipv6Subnet: integer(0, 128),
  allowList: either(addresses, func),
  ban: integer(-1),
  groupId: string,
  cache: integer(1, 2 ** 24),
  continueExceeding: boolean,
  exponentialBackoff: boolean,
  onStoreError: oneOf('local', 'open', 'closed'),
  skipOnError: boolean,
  onExceeding: func,
  onExceeded: func,
  onBanReach: func,
  errorResponseBuilder: func,
  headers: oneOf('x-ratelimit', 'draft-11', false),
  problem: boolean,
  enableDraftSpec: boolean,
  addHeaders: switches(...QUOTA_HEADERS, 'retry-after'),
  addHeadersOnExceeding: switches(...QUOTA_HEADERS)
}

const rules: Rules<RateLimit> = {
  ...quotaRules,
  global: boolean,
  redis,
  nameSpace: string,
  storeTimeout: milliseconds(),
  instances: integer(1),
  store: func,
  dryRun: boolean
}

/** @throws FST_SURGE_BAD_OPTION */
export function readRateLimit (input: RateLimitOptions): RateLimit {
  const options = readOptions<RateLimit>('rateLimit', input, rules, defaults)
  if (options.store !== undefined && options.redis) throw new BadOption('Expected one of `rateLimit.store` and `rateLimit.redis`, got both')
  settle(input, options, 'rateLimit', options)
  return options
}

/**
 * What limits a route: its `config.rateLimit` over the plugin's options; undefined where nothing does.
 * @throws FST_SURGE_BAD_OPTION
 */
export function readRoute (setting: unknown, path: string, options: RateLimit): Quota | undefined {
  if (setting === undefined || setting === null) return options.global ? options : undefined
  if (setting === false) return undefined
  if (!isObject(setting)) throw new BadOption(`Expected \`${path}\` to be an object or false, got ${show(setting)}`)
  for (const key of Object.keys(setting)) {
    if (key in rules && !(key in quotaRules)) {
      throw unknownKey(`${path}.${key}`, key, [], `\`${key}\` is set once, in the plugin's options.`)
    }
  }
  const quota = readOptions<Quota>(path, setting, quotaRules, options)
  quota.addHeaders = { ...options.addHeaders, ...quota.addHeaders }
  quota.addHeadersOnExceeding = { ...options.addHeadersOnExceeding, ...quota.addHeadersOnExceeding }
  settle(setting, quota, path, options)
  return quota
}

/** What one option says about another, in the object where both are given. */
function settle (given: object, quota: Quota, path: string, { store }: RateLimit): void {
  const has = (key: keyof Quota) => (given as Record<string, unknown>)[key] !== undefined
  const simple = (['max', 'timeWindow', 'burst'] as const).find(has)
  if (simple !== undefined && has('policies')) throw new BadOption(`Expected \`${path}.${simple}\` or \`${path}.policies\`, got both`)
  if (simple !== undefined) quota.policies = undefined
  // A burst belongs to the max that it was given with.
  if (has('max') && !has('burst')) quota.burst = undefined
  if (has('skipOnError')) {
    if (has('onStoreError')) throw new BadOption(`Expected one of \`${path}.skipOnError\` and \`${path}.onStoreError\`, got both`)
    quota.onStoreError = quota.skipOnError ? 'open' : 'closed'
  }
  const beyond = (['burst', 'policies', 'cost'] as const).find(has)
  if (store !== undefined && beyond !== undefined) throw new BadOption(`\`${path}.${beyond}\` needs the memory store or \`redis\`: a \`store\` of your own counts requests one by one.`)
}
