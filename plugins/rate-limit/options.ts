// The options of the rate limit: @fastify/rate-limit's, checked at boot instead of silently replaced by defaults,
// and what a route may change of them in `config.rateLimit`.
import type { FastifyRequest } from 'fastify'
import type { RateLimitHook, RateLimitPluginOptions, FastifyRateLimitStoreCtor, errorResponseBuilderContext } from '@fastify/rate-limit'
import { parse } from '@lukeed/ms'
import { boolean, either, func, integer, isObject, object, oneOf, readOptions, show, string, unknownKey, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { HeaderSwitches } from './quota-headers.ts'

export type ByRequest<T> = (request: FastifyRequest, key: string) => T | Promise<T>
export type Callback = (request: FastifyRequest, key: string) => void

/** What limits one route; the plugin's options, with the route's `config.rateLimit` laid over them. */
export interface Quota {
  /** Requests of one client in one window. An integer ≥ 0, or a function of (request, key). @default 1000 */
  max: number | ByRequest<number>
  /** Milliseconds, a string such as '1 minute', or a function of (request, key) that returns milliseconds. @default 60000 */
  timeWindow: number | ByRequest<number>
  /** Where the decision is made; behind 'onRequest' the request holds a slot of its gate already. @default 'onRequest' */
  hook: RateLimitHook | undefined
  /** Who the client is. @default its address, IPv6 by `ipv6Subnet` */
  keyGenerator: ((request: FastifyRequest) => string | number | Promise<string | number>) | undefined
  /** Bits of an IPv6 address that make one client. An integer from 0 to 128. @default 64 */
  ipv6Subnet: number
  /** Keys or addresses that are not limited, or a function of (request, key). @default nobody */
  allowList: readonly string[] | ByRequest<boolean> | undefined
  /** Refusals in one window after which they become 403. An integer ≥ 0; -1 never. @default -1 */
  ban: number
  /** Routes of one group count on one counter. @default none */
  groupId: string | undefined
  /** Clients that the memory store counts at the same time; the longest unseen is forgotten first. An integer ≥ 1. @default 5000 */
  cache: number
  /** Each refused request starts the window anew. @default false */
  continueExceeding: boolean
  /** Each refused request doubles what is left of the window. @default false */
  exponentialBackoff: boolean
  /** A request whose store fails is admitted; otherwise it fails. @default false */
  skipOnError: boolean
  /** Called for each admitted request. */
  onExceeding: Callback | undefined
  /** Called for each refused request. */
  onExceeded: Callback | undefined
  /** Called for each request refused by the ban. */
  onBanReach: Callback | undefined
  /** Makes the error that the app's error handler is given in place of the prepared 429. */
  errorResponseBuilder: ((request: FastifyRequest, context: errorResponseBuilderContext) => object) | undefined
  /** Header names without `x-`. @default false */
  enableDraftSpec: boolean
  /** Headers of refused replies by name. @default all true */
  addHeaders: HeaderSwitches
  /** Headers of admitted replies by name. @default all true */
  addHeadersOnExceeding: HeaderSwitches
}

export interface RateLimit extends Quota {
  /** Limits every route and 404s; false: only routes with `config.rateLimit`. @default true */
  global: boolean
  /** An ioredis client; its servers share the counters. @default memory */
  redis: unknown
  /** Prefix of the keys in Redis. @default 'fastify-rate-limit-' */
  nameSpace: string | undefined
  /** A store class of your own. */
  store: FastifyRateLimitStoreCtor | undefined
  /** Counts and logs, but refuses nothing and sends no header. @default the umbrella's, else false */
  dryRun: boolean | undefined
}

export interface RateLimitOptions extends RateLimitPluginOptions {
  dryRun?: boolean
}

declare module '@fastify/rate-limit' {
  // The official plugin reads these two from a route's config as well; its types know them as plugin options only.
  interface RateLimitOptions {
    addHeaders?: HeaderSwitches
    addHeadersOnExceeding?: HeaderSwitches
  }
}

const quotaDefaults: Quota = {
  max: 1000,
  timeWindow: 60_000,
  hook: undefined,
  keyGenerator: undefined,
  ipv6Subnet: 64,
  allowList: undefined,
  ban: -1,
  groupId: undefined,
  cache: 5000,
  continueExceeding: false,
  exponentialBackoff: false,
  skipOnError: false,
  onExceeding: undefined,
  onExceeded: undefined,
  onBanReach: undefined,
  errorResponseBuilder: undefined,
  enableDraftSpec: false,
  addHeaders: {},
  addHeadersOnExceeding: {}
}

const defaults: RateLimit = { ...quotaDefaults, global: true, redis: undefined, nameSpace: undefined, store: undefined, dryRun: undefined }

/** As @fastify/rate-limit parses it; what it cannot parse there means no window at all. */
const duration: Rule = {
  expects: "a duration such as '1 minute'",
  accepts: value => typeof value === 'string' && (parse(value) ?? 0) > 0,
  read: (value: string) => Math.ceil(parse(value)!)
}

const addresses: Rule = {
  expects: 'a list of keys or addresses',
  accepts: value => Array.isArray(value) && value.every(item => typeof item === 'string')
}

const redis: Rule = {
  expects: 'an ioredis client',
  accepts: value => value === null || typeof (value as any)?.defineCommand === 'function'
}

function switches (...names: string[]): Rule {
  const rules: Record<string, Rule> = Object.fromEntries(names.map(name => [name, boolean]))
  return object((value, path) => readOptions<Record<string, boolean>>(path, value, rules, {}))
}

const QUOTA_HEADERS = ['limit', 'remaining', 'reset'].flatMap(name => [`x-ratelimit-${name}`, `ratelimit-${name}`])

const quotaRules: Rules<Quota> = {
  max: either(integer(0), func),
  timeWindow: either({ ...integer(0), expects: 'milliseconds, an integer ≥ 0' }, duration, func),
  hook: oneOf('onRequest', 'preParsing', 'preValidation', 'preHandler'),
  keyGenerator: func,
  ipv6Subnet: integer(0, 128),
  allowList: either(addresses, func),
  ban: integer(-1),
  groupId: string,
  cache: integer(1),
  continueExceeding: boolean,
  exponentialBackoff: boolean,
  skipOnError: boolean,
  onExceeding: func,
  onExceeded: func,
  onBanReach: func,
  errorResponseBuilder: func,
  enableDraftSpec: boolean,
  addHeaders: switches(...QUOTA_HEADERS, 'retry-after'),
  addHeadersOnExceeding: switches(...QUOTA_HEADERS)
}

const rules: Rules<RateLimit> = { ...quotaRules, global: boolean, redis, nameSpace: string, store: func, dryRun: boolean }

/** @throws FST_SURGE_BAD_OPTION */
export function readRateLimit (input: RateLimitOptions): RateLimit {
  return readOptions<RateLimit>('rateLimit', input, rules, defaults)
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
  return quota
}
