// Limits what one client may ask for in a window of time: every route, HEAD and 404s too, before anything is spent on
// the request. It prevents one client from using up what is meant for all.
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption, QuotaUnavailable } from '../shared/errors.ts'
import { optionsOf } from '../shared/fastify-internals.ts'
import { instrumentsOf } from '../shared/instruments.ts'
import { watchForLater } from '../shared/late-clash.ts'
import { routeOf, type RouteFacts } from '../shared/route.ts'
import { ticketOf } from '../shared/ticket.ts'
import { trustProxyWarning } from '../shared/trust-proxy.ts'
import type { Claim, Verdict } from './counter.ts'
import { decisions } from './decisions.ts'
import { wholeSeconds } from './gcra.ts'
import { endIfOver, judge, type Done } from './judgement.ts'
import { Limits, type Limit } from './limits.ts'
import { readRateLimit, type Quota, type RateLimit, type RateLimitOptions } from './options.ts'
import type { PolicyOptions } from './policy-options.ts'
import { QuotaApi, readClient, type Found, type QuotaClient, type QuotaState } from './quota-api.ts'

export type { PolicyOptions, QuotaClient, QuotaState, RateLimitOptions }

declare module 'fastify' {
  interface FastifyInstance {
    quota: QuotaApi<FastifyRequest>
  }
}

type LateHook = 'preParsing' | 'preValidation' | 'preHandler'

/** What the stage limits this request by; undefined where it does not. */
function limitOf (app: FastifyInstance, stage: Stage<Limit>, request: FastifyRequest): Limit | undefined {
  const admission = admissionOf(app)
  const { settings, exempt } = admission.route(request)
  return exempt ? undefined : settings[admission.stages.indexOf(stage)] as Limit | undefined
}

/** Decides for a hook that runs behind the app's own. */
function judgeLate (request: FastifyRequest, limit: Limit, dryRun: boolean, done: Done): void {
  const ticket = ticketOf(request.raw)
  if (ticket === undefined) done()
  else if (judge(ticket, limit, dryRun, done)) done()
  else endIfOver(ticket)
}

function isLate (hook: Quota['hook']): hook is LateHook {
  return hook !== undefined && hook !== 'onRequest'
}

function rateLimitStage (app: FastifyInstance, limits: Limits, options: RateLimit, dryRun: boolean): Stage<Limit> {
  /** The routes that have the decision as the last of their own hooks. */
  const late = new Map<string, LateHook>()
  const warned = new Set<string>()
  let booted = false

  function warnOfKey (quota: Quota, where: string): void {
    if (quota.keyGenerator === undefined || quota.hook !== undefined || warned.has(where)) return
    warned.add(where)
    app.log.warn(`The keyGenerator of ${where} runs before your own hooks and sees nothing of what they set, such as the user of an auth hook. Pass \`hook: 'preHandler'\` to run behind them, or \`hook: 'onRequest'\` if it needs nothing of theirs.`)
  }

  function judgeHere (request: FastifyRequest, hook: LateHook, done: Done): void {
    const limit = limitOf(app, stage, request)
    if (limit !== undefined && limit.quota.hook === hook) judgeLate(request, limit, dryRun, done)
    else done()
  }

  /** On the route, where they run behind all hooks of the app and those that the route has. One each, so that a route has it once. */
  const ofRoutes: Record<LateHook, (...args: any[]) => void> = {
    preParsing: function surgeRateLimit (request, _reply, _payload, done) { judgeHere(request, 'preParsing', done) },
    preValidation: function surgeRateLimit (request, _reply, done) { judgeHere(request, 'preValidation', done) },
    preHandler: function surgeRateLimit (request, _reply, done) { judgeHere(request, 'preHandler', done) }
  }

  function surgeLateRoute (route: RouteOptions): void {
    const hook = late.get(routeOf({ ...route.config, url: route.url, method: route.method }).key)
    if (hook === undefined) return
    // A new array: GET hands its own on to its HEAD.
    const own = [route[hook] ?? []].flat() as ((...args: any[]) => void)[]
    if (!own.includes(ofRoutes[hook])) route[hook] = [...own, ofRoutes[hook]] as any
  }

  /** 404s have no route, and those declared earlier are not heard of: for them it is a hook of the app. */
  function addCommonHook (hook: LateHook): void {
    function surgeRateLimitOfOthers (request: FastifyRequest, done: Done): void {
      if (late.has(admissionOf(app).route(request).key)) done()
      else judgeHere(request, hook, done)
    }
    if (hook === 'preParsing') app.addHook('preParsing', (request, _reply, _payload, done) => surgeRateLimitOfOthers(request, done))
    else app.addHook(hook as 'preHandler', (request, _reply, done) => surgeRateLimitOfOthers(request, done))
  }

  function declareHook ({ hook }: Quota, { key }: RouteFacts): void {
    if (!isLate(hook)) return
    if (!booted) late.set(key, hook)
    else if (!late.has(key) && hook !== options.hook && !warned.has(key)) {
      warned.add(key)
      app.log.warn(`${key} was declared before the rate limit and asks for its hook '${hook}': it is limited in onRequest.`)
    }
  }

  const stage: Stage<Limit> = {
    name: 'rate-limit',
    configKey: 'rateLimit',

    check (setting, route) {
      limits.declare(setting, route)
    },

    declared (setting, route) {
      const quota = limits.declare(setting, route)
      if (quota === undefined) return
      if (quota.keyGenerator !== options.keyGenerator) warnOfKey(quota, route.key)
      declareHook(quota, route)
    },

    configure: (setting, route) => limits.of(setting, route),

    enter (ticket, limit) {
      const { hook } = limit.quota
      if (isLate(hook) && (hook === options.hook || late.has(ticket.route.key))) return true
      return judge(ticket, limit, dryRun)
    }
  }

  warnOfKey(options, 'the rateLimit options')
  if (isLate(options.hook)) addCommonHook(options.hook)
  // Behind the admission's own, which has each route checked: so it is known what hook the route asks for.
  admissionOf(app)
  app.addHook('onRoute', surgeLateRoute)
  app.addHook('onReady', async () => { booted = true })
  return stage
}

/** @fastify/rate-limit's decorator: decides without acting on it. */
function createRateLimit (limits: Limits): FastifyInstance['createRateLimit'] {
  return function createRateLimit (given) {
    const { claims, counter } = limits.create(given)
    return async function check (request, { increment = true } = {}) {
      const claim = await claims.of(request)
      if (claim === undefined) return { isAllowed: true, key: await claims.keyOf(request) }
      const verdict = increment ? await take(claim) : await counter.peek(claim)
      if (increment) limits.decisions.count(claim, verdict)
      if (verdict.outcome === 'unavailable') throw new QuotaUnavailable()
      const { key, policies: [policy] } = claim
      const { max, window: timeWindow } = policy!
      if (verdict.outcome === 'uncounted') return { isAllowed: false, key, max, timeWindow, remaining: max, ttl: 0, ttlInSeconds: 0, isExceeded: false, isBanned: false }
      const { outcome, told: { policy: told, remaining, reset } } = verdict
      return {
        isAllowed: false,
        key,
        max: told.max,
        timeWindow: told.window,
        remaining,
        ttl: Math.ceil(reset),
        ttlInSeconds: wholeSeconds(reset),
        isExceeded: outcome !== 'admitted',
        isBanned: outcome === 'banned'
      }
    }

    function take (claim: Claim): Verdict | Promise<Verdict> {
      return counter.now(claim) ?? new Promise(resolve => counter.later(claim, resolve))
    }
  }
}

/** @fastify/rate-limit's decorator: a hook for one route. */
function rateLimitHook (app: FastifyInstance, limits: Limits, stage: Stage<Limit>, dryRun: boolean): FastifyInstance['rateLimit'] {
  return function rateLimit (given) {
    const limit = limits.create(given)
    return async function surgeRateLimit (request: FastifyRequest, reply: FastifyReply) {
      // The hook for 404 handlers that the official docs show would count a request twice that the stage has counted.
      if (given === undefined && limitOf(app, stage, request) !== undefined) return
      await new Promise<void>((resolve, reject) => {
        reply.raw.once('close', resolve)
        judgeLate(request, limit, dryRun, error => error === undefined ? resolve() : reject(error))
      })
      if (ticketOf(request.raw)?.refused) return reply
    } as ReturnType<FastifyInstance['rateLimit']>
  }
}

function quotaApi (app: FastifyInstance, limits: Limits, stage: Stage<Limit>): QuotaApi<FastifyRequest> {
  async function find (target: FastifyRequest | QuotaClient): Promise<Found | undefined> {
    if (typeof target === 'object' && target !== null && 'raw' in target) {
      const limit = limitOf(app, stage, target)
      const claim = await limit?.claims.of(target)
      return claim && { counter: limit!.counter, claim }
    }
    const client = readClient(target)
    const { counter, claims } = limits.named(client)
    const claim = claims.named(client.key)
    if (claim === undefined) throw new BadOption('Expected a request, got a key: `max` or `timeWindow` is a function of the request there')
    return { counter, claim }
  }

  return new QuotaApi<FastifyRequest>(find, () => limits.stats)
}

function addInstruments (app: FastifyInstance, limits: Limits): void {
  const instruments = instrumentsOf(app)
  instruments.add(decisions, add => limits.decisions.read(add))
  if (!limits.remote) return
  instruments.add({ name: 'fastify.ratelimit.store.questions', type: 'counter', help: 'Questions to the store of the rate limit, by what became of them' }, add => {
    const { asked, failed, timedOut, skipped, known } = limits.stats
    for (const [outcome, count] of Object.entries({ answered: asked - failed - timedOut, failed, timed_out: timedOut, skipped, known })) add(count, { outcome })
  })
  instruments.add({ name: 'fastify.ratelimit.store.up', type: 'gauge', help: 'Whether the store of the rate limit answers' }, add => add(limits.stats.up ? 1 : 0))
}

export default definePlugin<RateLimitOptions, RateLimit, Limits>({
  name: 'rate-limit',
  key: 'rateLimit',
  read: readRateLimit,
  perServer: false,
  replaces: ['@fastify/rate-limit'],
  decorates: ['rateLimit', 'createRateLimit', 'quota'],
  create: (app, options) => new Limits(options, systemClock, app.log),

  attach (app, limits, options, suite) {
    const dryRun = options.dryRun ?? suite.dryRun
    const stage = rateLimitStage(app, limits, options, dryRun)
    admissionOf(app).add(stage)
    app.decorate('createRateLimit', createRateLimit(limits))
    app.decorate('rateLimit', rateLimitHook(app, limits, stage, dryRun))
    app.decorate('quota', quotaApi(app, limits, stage))
    addInstruments(app, limits)
    watchForLater(app, '@fastify/rate-limit', 'rate-limit', 'rateLimit')

    const unsafe = trustProxyWarning(optionsOf(app).trustProxy)
    if (unsafe !== undefined && options.keyGenerator === undefined && !app.hasPlugin('fastify-surge/server-defaults')) app.log.warn(unsafe)
  }
})
