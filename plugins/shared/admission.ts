// Admission: one onRequest hook and one onSend hook a context through which every request passes the stages
// that may refuse it, in a fixed order. It prevents the plugins from each paying for hooks and listeners of their
// own, and from running in whatever order they were registered in.
//
//   onRequest ─▶ metrics ─▶ lifecycle ─▶ pressure ─▶ rate-limit ─▶ deadline ─▶ concurrency ─▶ the app
//                  │            each: go on, refuse, or hold the ticket and resume it later
//   after that     answered (onSend) ─▶ head (first byte) ─▶ close (reply or socket, once)
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { systemClock, type Clock } from './clock.ts'
import { configOf, watchHandler } from './fastify-internals.ts'
import { instrumentsOf } from './instruments.ts'
import { leavesRefusals } from './refusal.ts'
import { routeOf, type RouteFacts } from './route.ts'
import { routeSetting, suiteState, type SuiteState } from './suite-state.ts'
import { refusals, RefusalLog } from './telemetry.ts'
import { STAGES, Ticket, ticketOf, type Audience, type Pass, type Route, type Stage } from './ticket.ts'

const kAdmission = Symbol.for('fastify-surge.admission')

export type { Stage, StageName } from './ticket.ts'

export class Admission implements Pass {
  readonly clock: Clock
  readonly refusals: RefusalLog
  readonly suite: SuiteState
  /** In order. */
  readonly stages: Stage[] = []
  audience: Audience = audienceOf([])
  #behind = new Map<Audience, Audience>()
  readonly #routes = new Map<string, Route>()
  /** A WeakMap on `config` misses the sharing of GET and HEAD, a Map on the key alone costs a string a request: so both. */
  #byConfig = new WeakMap<object, Route>()
  readonly #off = new Set<Stage>()
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance, clock: Clock) {
    this.#app = app
    this.clock = clock
    this.suite = suiteState(app)
    this.refusals = new RefusalLog(app.log, clock)
  }

  add (stage: Stage): void {
    this.stages.push(stage)
    this.stages.sort((a, b) => STAGES.indexOf(a.name) - STAGES.indexOf(b.name))
    this.audience = audienceOf(this.stages)
    this.#behind = new Map()
    this.#routes.clear()
  }

  audienceBehind (outer: Audience): Audience {
    let audience = this.#behind.get(outer)
    if (audience === undefined) this.#behind.set(outer, audience = joined(outer, this.audience))
    return audience
  }

  /** The stages that routes configure, by that key, and whether requests meet them. */
  get switches (): Record<string, boolean> {
    const configured = this.stages.filter(({ name, configKey }) => configKey !== undefined && name !== 'metrics')
    return Object.fromEntries(configured.map(stage => [stage.configKey!, !this.#off.has(stage)]))
  }

  /** Takes a stage out of the way of requests to come, or puts it back; false when there is none of that key. */
  switch (key: string, on: boolean): boolean {
    const stage = this.stages.find(({ name, configKey }) => configKey === key && name !== 'metrics')
    if (stage === undefined) return false
    if (on) this.#off.delete(stage)
    else this.#off.add(stage)
    // Settings are resolved anew; a request that is under way goes by those it came with.
    this.#routes.clear()
    this.#byConfig = new WeakMap()
    return true
  }

  /** The route of a request, with every stage's settings for it. */
  route (request: FastifyRequest): Route {
    const config = configOf(request)
    const known = this.#byConfig.get(config)
    if (known !== undefined) return known
    const facts = routeOf(request.is404 ? undefined : config)
    let route = this.#routes.get(facts.key)
    if (route === undefined) {
      const settings = this.stages.map(stage => this.#configure(stage, facts))
      const steps = this.stages
        .map((stage, index) => ({ stage, enter: stage.enter, settings: settings[index] }))
        .filter(({ stage, settings }) => settings !== undefined && (!facts.exempt || stage.name === 'lifecycle'))
      route = { ...facts, settings, steps }
      this.#routes.set(facts.key, route)
    }
    watchHandler(request, handlerReturned, replyAwaited)
    this.#byConfig.set(config, route)
    return route
  }

  #setting (stage: Stage, facts: RouteFacts): unknown {
    if (stage.configKey === undefined) return undefined
    return routeSetting(this.suite, stage.configKey, facts.methods, facts.url, facts.config)
  }

  #configure (stage: Stage, facts: RouteFacts): unknown {
    if (this.#off.has(stage)) return undefined
    try {
      this.#declare(stage, facts)
      return stage.configure(this.#setting(stage, facts), facts)
    } catch (err) {
      // Only a route that was declared before the plugin gets here: boot could not see its config, and its
      // clients must not pay for that with a 500.
      this.#app.log.error({ err, route: facts.key }, `the ${stage.name} config of a route cannot be used; the defaults hold for it`)
      return stage.configure(undefined, facts)
    }
  }

  /** Boot check of a route that may be declared nowhere. */
  checkRoute (facts: RouteFacts): void {
    for (const stage of this.stages) stage.check?.(this.#setting(stage, facts), facts)
  }

  /** Boot check of one declared route. */
  declareRoute (facts: RouteFacts): void {
    for (const stage of this.stages) this.#declare(stage, facts)
  }

  #declare (stage: Stage, facts: RouteFacts): void {
    const setting = this.#setting(stage, facts)
    stage.check?.(setting, facts)
    stage.declared?.(setting, facts)
  }
}

function handlerReturned (request: FastifyRequest, work: Promise<unknown>): void {
  const ticket = ticketOf(request.raw)
  if (ticket !== undefined) ticket.work = work
}

function replyAwaited (request: FastifyRequest): void {
  const ticket = ticketOf(request.raw)
  if (ticket !== undefined) ticket.workTells = false
}

function audienceOf (stages: readonly Stage[]): Audience {
  const hearing = <Name extends keyof Audience> (name: Name) => stages.map(stage => stage[name]).filter(hears => hears !== undefined)
  return { overtaken: hearing('overtaken'), answered: hearing('answered'), head: hearing('head'), close: hearing('close') }
}

function joined (outer: Audience, inner: Audience): Audience {
  return {
    overtaken: [...outer.overtaken, ...inner.overtaken],
    answered: [...outer.answered, ...inner.answered],
    head: [...outer.head, ...inner.head],
    close: [...outer.close, ...inner.close]
  }
}

/** The admission of this context, made and hooked up by the first plugin that asks for it. */
export function admissionOf (app: FastifyInstance, clock: Clock = systemClock): Admission {
  const scope = app as unknown as Record<symbol, Admission | undefined>
  if (Object.hasOwn(scope, kAdmission)) return scope[kAdmission]!
  const enclosed = scope[kAdmission] !== undefined
  const admission = new Admission(app, clock)
  scope[kAdmission] = admission
  instrumentsOf(app).add(refusals, add => admission.refusals.read(add))

  function surgeAdmission (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    const ticket = ticketOf(request.raw) ?? new Ticket(request, reply, admission)
    ticket.pass(admission, done)
  }

  function surgeAnswered (request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: () => void): void {
    const ticket = ticketOf(request.raw)
    if (ticket === undefined) new Ticket(request, reply, admission).overtake()
    else if (!ticket.refused) ticket.settle()
    done()
  }

  function surgeCheckRoute (route: RouteOptions): void {
    admission.declareRoute(routeOf(rememberConstraints(route)))
  }

  leavesRefusals(surgeAnswered)
  app.addHook('onRequest', surgeAdmission)
  if (!enclosed) app.addHook('onSend', surgeAnswered)
  app.addHook('onRoute', surgeCheckRoute)
  return admission
}

/** A route's constraints (host, version) are visible here only, and belong to its key. */
function rememberConstraints (route: RouteOptions) {
  const { constraints } = route as { constraints?: object }
  if (constraints !== undefined && Object.keys(constraints).length > 0) {
    route.config = { ...route.config, [Symbol.for('fastify-surge.constraints')]: JSON.stringify(constraints) } as typeof route.config
  }
  return { ...route.config, url: route.url, method: route.method }
}
