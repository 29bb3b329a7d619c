// Sheds requests while the event loop, the heap or the resident memory is past its limit. It prevents the spiral in
// which a process that is late takes on more and gets later, until it is killed with everything in flight.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { readValue } from '../shared/check.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { Clash, UnderPressure } from '../shared/errors.ts'
import { nameTakenDecorators, watchForLater } from '../shared/late-clash.ts'
import { isPromise } from '../shared/promise.ts'
import { jitteredRetryAfter, prepareRefusal, type Refusal } from '../shared/refusal.ts'
import type { RouteFacts } from '../shared/route.ts'
import { routeSetting, type SuiteState } from '../shared/suite-state.ts'
import { stallChannel } from '../shared/telemetry.ts'
import type { Ticket } from '../shared/ticket.ts'
import { watchSend } from '../shared/watch-send.ts'
import { DEFAULT_STATUS_URL, registerOfficial } from './official.ts'
import { handlerRule, readPressure, routeRule, type Pressure, type PressureHandler, type PressureOptions } from './options.ts'
import { Sampler } from './sampler.ts'
import { Shedding } from './shedding.ts'
import { measured, type PressureType, type Sample } from './verdict.ts'

export type { PressureHandler, PressureOptions, PressureType }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** False: this route is never shed. */
    pressure?: false
    /** Decides for this route in place of the 503. */
    pressureHandler?: PressureHandler
  }
}

interface Core {
  /** The last sample. */
  sample: () => Sample
  /** Nobody is shed now, whatever their priority. */
  calm: () => boolean
  /** What a request of this priority is shed for now. */
  verdict: (priority: 0 | 1 | 2) => PressureType | undefined
}

const RESOLUTION = 10

async function createPressure (app: FastifyInstance, options: Pressure): Promise<Core> {
  const { exposeStatusRoute } = options
  if (exposeStatusRoute !== false) {
    const { url = DEFAULT_STATUS_URL } = typeof exposeStatusRoute === 'object' ? exposeStatusRoute : { url: exposeStatusRoute === true ? undefined : exposeStatusRoute }
    if (app.hasRoute({ method: 'GET', url: app.prefix + url })) {
      throw new Clash(`The path ${url} is taken and fastify-surge/pressure answers its status route there: remove that route, or pass \`pressure: { exposeStatusRoute: '/another' }\`.`)
    }
  }
  const official = await registerOfficial(app, options)
  const shedding = new Shedding(options, options.hysteresis)
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION })
  const stall = options.maxEventLoopDelay === false ? Infinity : options.maxEventLoopDelay

  function sampled (sample: Sample): void {
    shedding.sampled(sample)
    const { eventLoopDelay } = sample
    if (eventLoopDelay > stall && stallChannel.hasSubscribers) stallChannel.publish({ eventLoopDelay })
  }

  // Its timer comes behind the official one of the same length, whose numbers it reads.
  const sampler = new Sampler({ memory: official.memory, histogram, resolution: RESOLUTION }, options.sampleInterval, systemClock, sampled)
  // Not before: what blocks the loop is the boot itself, and the first second of a new server would be refused for it.
  app.addHook('onReady', async function surgeStartSampling () {
    histogram.enable()
    sampler.start()
  })
  app.addHook('onClose', async function surgeStopSampling () {
    sampler.stop()
    histogram.disable()
  })
  return {
    sample: () => sampler.last,
    calm: () => shedding.level === 0 && official.healthy(),
    // A failed check says that nobody can be served, the critical no more than others.
    verdict: priority => shedding.sheds(priority) ? shedding.type : official.healthy() ? undefined : 'healthCheck'
  }
}

function prepareRefusals ({ message, retryAfter }: Pressure): Record<PressureType, Refusal> {
  const prepare = (reason: string) => prepareRefusal('pressure', reason, UnderPressure, retryAfter, message)
  return {
    eventLoopDelay: prepare('event_loop_delay'),
    heapUsedBytes: prepare('heap'),
    rssBytes: prepare('rss'),
    healthCheck: prepare('health_check'),
    eventLoopUtilization: prepare('event_loop_utilization')
  }
}

function pressureStage (core: Core, options: Pressure, suite: SuiteState, dryRun: boolean): Stage<{ handler: PressureHandler | undefined }> {
  const refusals = prepareRefusals(options)
  const { customError } = options
  const error = typeof customError === 'function' ? new customError() : customError // eslint-disable-line new-cap

  function handlerOf ({ methods, url, config }: RouteFacts): unknown {
    return routeSetting(suite, 'pressureHandler', methods, url, config) ?? options.pressureHandler
  }

  /** The app's error handler answers; true when the request may go on. */
  function failWith (ticket: Ticket, error: Error, refusal: Refusal): boolean {
    ticket.reply.code(503).header('cache-control', 'no-store').header('retry-after', jitteredRetryAfter(options.retryAfter))
    ticket.count(refusal, false)
    ticket.fail(error)
    return false
  }

  function ask (ticket: Ticket, handler: PressureHandler, type: PressureType): boolean {
    const isSent = watchSend(ticket.reply)
    try {
      const answer = handler(ticket.request, ticket.reply, type, measured(type, core.sample()))
      if (!isPromise(answer)) return obey(ticket, answer, isSent(), refusals[type])
      Promise.resolve(answer)
        .then(value => { if (obey(ticket, value, isSent(), refusals[type])) ticket.resume() })
        .catch(error => ticket.fail(error))
    } catch (error) {
      ticket.fail(error)
    }
    return false
  }

  return {
    name: 'pressure',
    configKey: 'pressure',

    check (setting, route) {
      readValue(`config.pressure of ${route.key}`, setting, routeRule)
      const handler = handlerOf(route)
      if (handler !== undefined) readValue(`config.pressureHandler of ${route.key}`, handler, handlerRule)
    },

    configure (setting, route) {
      return setting === false ? undefined : { handler: handlerOf(route) as PressureHandler | undefined }
    },

    enter (ticket, { handler }) {
      if (core.calm()) return true
      const type = core.verdict(ticket.priority)
      if (type === undefined) return true
      if (dryRun) return ticket.refuse(refusals[type], dryRun)
      if (handler !== undefined) return ask(ticket, handler, type)
      if (error !== undefined) return failWith(ticket, error, refusals[type])
      return ticket.refuse(refusals[type], dryRun)
    }
  }
}

/** What a pressureHandler returned is the reply; true when it returned and sent nothing. */
function obey (ticket: Ticket, value: unknown, sent: boolean, refusal: Refusal): boolean {
  const { reply } = ticket
  if (!sent && (value === undefined || value === null)) return true
  ticket.count(refusal, false)
  if (!sent && value !== reply) reply.send(value)
  return false
}

const DECORATORS = ['memoryUsage', 'isUnderPressure']

export default definePlugin<PressureOptions, Pressure, Core>({
  name: 'pressure',
  key: 'pressure',
  read: readPressure,
  perServer: true,
  replaces: ['@fastify/under-pressure'],
  decorates: DECORATORS,
  create: createPressure,

  attach (app, core, options, suite) {
    app.decorate('memoryUsage', () => ({ ...core.sample() }))
    app.decorate('isUnderPressure', () => core.verdict(1) !== undefined)
    admissionOf(app).add(pressureStage(core, options, suite, options.dryRun ?? suite.dryRun))
    watchForLater(app, '@fastify/under-pressure', 'pressure', 'pressure')
    nameTakenDecorators(app, DECORATORS, '@fastify/under-pressure', 'pressure', 'pressure')
  }
})
