// Limits what one client may ask for in a window of time: every route, HEAD and 404s too, before anything is spent on
// the request. It prevents one client from using up what is meant for all.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { format } from '@lukeed/ms'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { Banned, BadOption, RateLimited } from '../shared/errors.ts'
import { optionsOf } from '../shared/fastify-internals.ts'
import { watchForLater } from '../shared/late-clash.ts'
import { jitteredRetryAfter, prepareRefusal } from '../shared/refusal.ts'
import type { RouteFacts } from '../shared/route.ts'
import { ticketOf, type Ticket } from '../shared/ticket.ts'
import { commonCounter, namedCounter, registerOfficial, type Count, type Official } from './official.ts'
import { readRateLimit, readRoute, type Quota, type RateLimit, type RateLimitOptions } from './options.ts'
import { routeHeaders, type QuotaHeaders, type RouteHeaders } from './quota-headers.ts'

export type { RateLimitOptions }

interface RouteLimit { quota: Quota, count: Count, headers: RouteHeaders }

const limited = prepareRefusal('rate-limit', 'rate_limited', RateLimited)
const banned = prepareRefusal('rate-limit', 'banned', Banned)

type LateHook = 'preParsing' | 'preValidation' | 'preHandler'

/** A counter has one size, one ban and one way to exceed, so the routes that share it must agree on them. */
const OF_THE_COUNTER = ['cache', 'ban', 'continueExceeding', 'exponentialBackoff', 'skipOnError'] as const

/** Resolves when the request was refused or may go on; rejects with what the app's error handler is to answer. */
async function judge (ticket: Ticket, { quota, count, headers }: RouteLimit, dryRun: boolean): Promise<void> {
  const { request, reply } = ticket
  let verdict
  try {
    verdict = await count(request, quota)
  } catch (err) {
    if (!dryRun) throw err
    request.log.error({ err }, 'the rate limit could not decide')
    return
  }
  if (verdict.isAllowed || ticket.closed || ticket.refused) return
  const { key, max, remaining, ttl, ttlInSeconds } = verdict
  if (!verdict.isExceeded) {
    if (!dryRun) writeHeaders(reply, headers.admitted, max, remaining, ttlInSeconds)
    quota.onExceeding?.(request, key)
    return
  }
  const refusal = verdict.isBanned ? banned : limited
  if (dryRun) {
    ticket.refuse(refusal, dryRun)
    return
  }
  quota.onExceeded?.(request, key)
  if (verdict.isBanned) quota.onBanReach?.(request, key)
  writeHeaders(reply, headers.refused, max, 0, ttlInSeconds)
  if (quota.errorResponseBuilder !== undefined) {
    if (headers.retryAfter) reply.header('retry-after', jitteredRetryAfter(ttlInSeconds))
    ticket.count(refusal, dryRun)
    throw quota.errorResponseBuilder(request, { statusCode: refusal.statusCode, ban: verdict.isBanned, max, ttl, after: format(ttlInSeconds * 1000, true) })
  }
  ticket.refuse(refusal, dryRun, headers.retryAfter ? ttlInSeconds : undefined)
}

function writeHeaders (reply: FastifyReply, names: QuotaHeaders, max: number, remaining: number, reset: number): void {
  if (names.limit !== undefined) reply.header(names.limit, max)
  if (names.remaining !== undefined) reply.header(names.remaining, remaining)
  if (names.reset !== undefined) reply.header(names.reset, reset)
}

/** What the stage limits this request by; undefined where it does not. */
function limitOf (app: FastifyInstance, stage: Stage<RouteLimit>, request: FastifyRequest): RouteLimit | undefined {
  const admission = admissionOf(app)
  const { settings, exempt } = admission.route(request)
  return exempt ? undefined : settings[admission.stages.indexOf(stage)] as RouteLimit | undefined
}

function rateLimitStage (app: FastifyInstance, official: Official, options: RateLimit, dryRun: boolean): Stage<RouteLimit> {
  const common = commonCounter(official)
  const counters = new Map<string, Count>()
  const groups = new Map<string, { route: string, quota: Quota }>()
  const hooked = new Set<LateHook>()
  const warned = new Set<string>()
  let booted = false

  function read (setting: unknown, route: RouteFacts): Quota | undefined {
    return readRoute(setting, `config.rateLimit of ${route.key}`, options)
  }

  function joinGroup (groupId: string, quota: Quota, route: string): void {
    const first = groups.get(groupId)
    if (first === undefined) {
      groups.set(groupId, { route, quota })
      return
    }
    const differs = OF_THE_COUNTER.find(key => first.quota[key] !== quota[key])
    if (differs === undefined) return
    throw new BadOption(`Expected \`config.rateLimit.${differs}\` of ${route} to be ${first.quota[differs]}, as in ${first.route}, got ${quota[differs]}: routes of the group '${groupId}' share one counter.`)
  }

  function counterOf (setting: unknown, quota: Quota, route: RouteFacts): Count {
    if (quota.groupId === undefined && (setting === undefined || setting === null)) return common
    const name = quota.groupId === undefined ? route.key : `group:${quota.groupId}`
    let count = counters.get(name)
    if (count === undefined) counters.set(name, count = namedCounter(official, name, quota, route))
    return count
  }

  function warnOfKey (quota: Quota, where: string): void {
    if (quota.keyGenerator === undefined || quota.hook !== undefined || warned.has(where)) return
    warned.add(where)
    app.log.warn(`The keyGenerator of ${where} runs before your own hooks and sees nothing of what they set, such as the user of an auth hook. Pass \`hook: 'preHandler'\` to run behind them, or \`hook: 'onRequest'\` if it needs nothing of theirs.`)
  }

  /** Instance hooks cost every route, so there is one only where somebody asked for it. */
  function addLateHook (hook: Quota['hook'], where: string): void {
    if (hook === undefined || hook === 'onRequest' || hooked.has(hook)) return
    if (booted) {
      app.log.warn(`${where} was declared before the rate limit and asks for its hook '${hook}', which nobody else does: it is limited in onRequest.`)
      return
    }
    hooked.add(hook)

    function surgeLateRateLimit (request: FastifyRequest, done: (error?: any) => void): void {
      const ticket = ticketOf(request.raw)
      const limit = limitOf(app, stage, request)
      if (ticket === undefined || limit === undefined || limit.quota.hook !== hook) {
        done()
        return
      }
      judge(ticket, limit, dryRun).then(() => {
        // It was refused, or its client has left: the handler that its slot waits for never runs.
        if (ticket.closed || ticket.refused) ticket.settle()
        else done()
      }, done)
    }

    if (hook === 'preParsing') app.addHook('preParsing', (request, _reply, _payload, done) => surgeLateRateLimit(request, done))
    else app.addHook(hook as 'preHandler', (request, _reply, done) => surgeLateRateLimit(request, done))
  }

  const stage: Stage<RouteLimit> = {
    name: 'rate-limit',
    configKey: 'rateLimit',

    check (setting, route) {
      const quota = read(setting, route)
      if (quota === undefined) return
      if (quota.groupId !== undefined) joinGroup(quota.groupId, quota, route.key)
      if (quota.keyGenerator !== options.keyGenerator) warnOfKey(quota, route.key)
      addLateHook(quota.hook, route.key)
    },

    configure (setting, route) {
      const quota = read(setting, route)
      if (quota === undefined) return undefined
      return { quota, count: counterOf(setting, quota, route), headers: routeHeaders(quota) }
    },

    enter (ticket, limit) {
      const { hook } = limit.quota
      if (hook !== undefined && hook !== 'onRequest' && hooked.has(hook)) return true
      judge(ticket, limit, dryRun)
        .then(() => ticket.resume())
        .catch(error => ticket.fail(error))
      return false
    }
  }

  warnOfKey(options, 'the rateLimit options')
  addLateHook(options.hook, 'the rateLimit options')
  app.addHook('onReady', async () => { booted = true })
  return stage
}

export default definePlugin<RateLimitOptions, RateLimit, Official>({
  name: 'rate-limit',
  key: 'rateLimit',
  read: readRateLimit,
  perServer: false,
  replaces: ['@fastify/rate-limit'],
  decorates: ['rateLimit', 'createRateLimit'],
  create: registerOfficial,

  attach (app, official, options, suite) {
    const stage = rateLimitStage(app, official, options, options.dryRun ?? suite.dryRun)
    admissionOf(app).add(stage)
    app.decorate('createRateLimit', official.createRateLimit)
    app.decorate('rateLimit', function rateLimit (given) {
      const limit = official.rateLimit(given)
      if (given !== undefined) return limit
      // The hook for 404 handlers that the official docs show would count a request twice that the stage has counted.
      return async function surgeRateLimitOnce (request, reply) {
        if (limitOf(app, stage, request as FastifyRequest) === undefined) return limit.call(this, request, reply)
      }
    })
    watchForLater(app, '@fastify/rate-limit', 'rate-limit', 'rateLimit')

    const { trustProxy } = optionsOf(app)
    if (options.keyGenerator === undefined && !app.hasPlugin('fastify-surge/server-defaults')) {
      if (trustProxy === true) app.log.warn('`trustProxy: true` lets any client choose its own address by X-Forwarded-For, and with it its rate limit. Name the addresses of your proxies instead.')
      if (typeof trustProxy === 'number') app.log.warn('`trustProxy` as a number of hops trusts nobody since CVE-2026-16732, so that all clients of a proxy share one rate limit. Name the addresses of your proxies instead.')
    }
  }
})
