// @fastify/rate-limit in a private child context: it counts, and attaches nothing to the app's routes. Here too is what
// keeps the counters of different routes apart on Redis and those of one group together (fastify-rate-limit#463).
import { isIPv6 } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import type { RouteFacts } from '../shared/route.ts'
import type { ByRequest, Quota, RateLimit } from './options.ts'

export type Official = Pick<FastifyInstance, 'createRateLimit' | 'rateLimit'>
export type Verdict = Awaited<ReturnType<ReturnType<Official['createRateLimit']>>>
/** Counts one request; `verdict.key` is the user's own key. Rejects when the store fails. */
export type Count = (request: FastifyRequest, quota: Quota) => Promise<Verdict>

const kRoute = Symbol('fastify-surge.rate-limit.route')

export async function registerOfficial (app: FastifyInstance, options: RateLimit): Promise<Official> {
  const { allowList, store, ...rest } = options
  const official: Partial<Official> = {}
  await app.register(async function surgeRateLimitStore (child) {
    await child.register(rateLimit, {
      ...rest,
      allowList: allowed(options),
      store: store && toldOfRoutes(store),
      global: false
    } as RateLimitPluginOptions)
    official.createRateLimit = child.createRateLimit
    official.rateLimit = child.rateLimit
  })
  return official as Official
}

/** The counter of the routes without a config of their own. */
export function commonCounter (official: Official): Count {
  const count = official.createRateLimit()
  return request => count(request)
}

/** A counter by name: a group's, or one route's. What the store itself must know comes from `quota`, the rest from each request's. */
export function namedCounter (official: Official, name: string, quota: Quota, route: RouteFacts): Count {
  const { cache, continueExceeding, exponentialBackoff, ban, skipOnError } = quota
  // createRateLimit gives all its counters one prefix in Redis.
  const prefix = `${name} `
  const own = (key: string) => key.slice(prefix.length)

  const count = official.createRateLimit({
    cache,
    continueExceeding,
    exponentialBackoff,
    ban,
    skipOnError,
    keyGenerator: async ({ request, quota }: Claim) => prefix + await keyOf(request, quota),
    max: ({ request, quota }: Claim, key: string) => typeof quota.max === 'function' ? quota.max(request, own(key)) : quota.max,
    timeWindow: ({ request, quota }: Claim, key: string) => typeof quota.timeWindow === 'function' ? quota.timeWindow(request, own(key)) : quota.timeWindow,
    allowList: ({ request, quota }: Claim, key: string) => allowed(quota)?.(request, own(key)) ?? false,
    [kRoute]: { ...quota, routeInfo: { method: route.methods, url: route.url, path: route.url, config: route.config } }
  } as object)

  return async function countByName (request, quota) {
    const verdict = await count(new Claim(request, quota) as unknown as FastifyRequest)
    verdict.key = own(verdict.key)
    return verdict
  }
}

/**
 * Stands in for the request where the official plugin looks for a `groupId` to append to the key: with it appended an
 * array allowList never matches, and the members of a group that the umbrella's overrides declare count apart.
 */
class Claim {
  readonly request: FastifyRequest
  readonly quota: Quota

  constructor (request: FastifyRequest, quota: Quota) {
    this.request = request
    this.quota = quota
  }

  get routeOptions () { return NO_CONFIG }
}

const NO_CONFIG = {}

function keyOf (request: FastifyRequest, { keyGenerator, ipv6Subnet }: Quota): string | number | Promise<string | number> {
  return keyGenerator === undefined ? rateLimit.normalizeIP(request.ip, ipv6Subnet) : keyGenerator(request)
}

const lists = new WeakMap<readonly string[], ByRequest<boolean>>()

/** The allow list as a function. An address in a list means that address: its /64, which is the key, would never equal it. */
function allowed ({ allowList }: Quota): ByRequest<boolean> | undefined {
  if (allowList === undefined || typeof allowList === 'function') return allowList
  let inList = lists.get(allowList)
  if (inList === undefined) {
    const keys = new Set(allowList)
    const addresses = new Set(allowList.filter(isIPv6).map(address => rateLimit.normalizeIP(address, 128)))
    inList = (request, key) => keys.has(key) || (addresses.size > 0 && addresses.has(rateLimit.normalizeIP(request.ip, 128)))
    lists.set(allowList, inList)
  }
  return inList
}

/** A custom store's `child()` is told of its route, as the official plugin's own hook would. */
function toldOfRoutes (Store: NonNullable<RateLimit['store']>): NonNullable<RateLimit['store']> {
  return class extends Store {
    override child (params: any) {
      return super.child({ ...params, ...params[kRoute] })
    }
  }
}
