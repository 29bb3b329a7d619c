// A ticket follows one request from its admission to the end of its reply. Its endings are explicit, because
// Fastify's own are not reliable: onResponse never runs when the client aborts (fastify#6208), and a reply that
// is pipelined behind an aborted one has no 'close' event on Node 20 and 22.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from './clock.ts'
import { causeOf } from './errors.ts'
import { forgoHandler, watchErrorHandler } from './fastify-internals.ts'
import type { Trace } from './histogram.ts'
import { asksForUpgrade, streamOf } from './http2.ts'
import { sendRefusal, writeLateRefusals, writeRefusal, type Refusal } from './refusal.ts'
import { endWithReply, endWithStream, unwatchPipelined, watchBelated, watchPipelined } from './reply-ends.ts'
import type { RouteFacts } from './route.ts'
import type { SuiteState } from './suite-state.ts'
import type { RefusalLog } from './telemetry.ts'
import { endUnreadBody } from './unread-body.ts'

/** The stages in the order in which a request meets them. */
export const STAGES = ['profiling', 'metrics', 'lifecycle', 'load-balancer', 'pressure', 'rate-limit', 'deadline', 'concurrency'] as const
export type StageName = typeof STAGES[number]

export interface Stage<Settings = any> {
  readonly name: StageName
  /** The route's `config` key that this stage reads; undefined reads none. */
  readonly configKey?: string
  /** Throws FST_SURGE_BAD_OPTION when the route's setting cannot be used; called at boot for every route declared later. */
  check?: (setting: unknown, route: RouteFacts) => void
  /** Behind `check`, of a route that there is: what the stage prepares or has to say for it. */
  declared?: (setting: unknown, route: RouteFacts) => void
  /** The stage's settings for one route, made at its first request; undefined lets the route pass. */
  configure: (setting: unknown, route: RouteFacts) => Settings | undefined
  /** True lets the ticket pass. False: it was refused, or is held and will be resumed. */
  enter: (ticket: Ticket, settings: Settings) => boolean
  /** Another stage refused what this one holds. */
  withdrawn?: (ticket: Ticket) => void
  /** A stage before this one refused what would have come here next. */
  forestalled?: (refusal: Refusal, settings: Settings) => void
  /** A hook ahead of the suite answered: no stage was entered, and the head and the end of the reply are still to come. */
  overtaken?: (ticket: Ticket) => void
  /** The priority that the route gives a request, for stages before this one: 0 is critical, 2 is first to go. */
  priority?: (ticket: Ticket, settings: Settings) => unknown
  /** The handler is done: its payload is on its way through onSend, or was dropped because the suite answered before it. */
  answered?: (ticket: Ticket) => void
  /** The reply's head is being written: the first byte, also of a raw writer; for an upgrade, the hijack. */
  head?: (ticket: Ticket) => void
  /** The reply is over, or its client is gone. Exactly once a ticket. */
  close?: (ticket: Ticket) => void
}

/** One stage on the way of a route's requests. */
export interface Step {
  readonly stage: Stage
  /** The stage's own, so that nothing on the way is looked up by name: the shapes of stages differ, and each such look-up costs a request. */
  readonly enter: Stage['enter']
  readonly settings: unknown
}

export interface Route extends RouteFacts {
  /** By position of the stage. */
  readonly settings: readonly unknown[]
  /** The stages that have settings for it; of a route of the suite's own, lifecycle alone. */
  readonly steps: readonly Step[]
}

type Hears = (ticket: Ticket) => void

/** The stages' own functions, by what they hear of. */
export interface Audience {
  readonly overtaken: readonly Hears[]
  readonly answered: readonly Hears[]
  readonly head: readonly Hears[]
  readonly close: readonly Hears[]
}

/** What a ticket passes: the stages of one context, and what they share. */
export interface Pass {
  readonly clock: Clock
  readonly refusals: RefusalLog
  readonly suite: SuiteState
  readonly audience: Audience
  /** With those of the contexts around this one before it. */
  audienceBehind: (outer: Audience) => Audience
  /** The route of a request, with every stage's settings for it. */
  route: (request: FastifyRequest) => Route
}

const kTicket = Symbol('fastify-surge.ticket')

export function ticketOf (raw: IncomingMessage): Ticket | undefined {
  return (raw as any)[kTicket]
}

export class Ticket {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** When the request met the first stage, in the clock's milliseconds. */
  readonly arrival: number
  /** When it last moved: arrived, was resumed, answered or closed. What stages do at that, they date by it: reading the clock costs. */
  moment: number
  route: Route
  /** Every stage of its context has let it pass: the app's own hooks and handler run, or ran. A context inside has stages of its own. */
  started = false
  /** The handler is done: its payload came to onSend, or it wrote by itself, whether its client still listens or not. */
  settled = false
  /** The first byte is out (or the connection was taken over). */
  headWritten = false
  /** The reply is over or its client gone. */
  closed = false
  /** The suite answers in the app's place. */
  refused = false
  /** Milliseconds that its reply is still of use, as of the deadline stage. */
  remaining = Infinity
  /** Why it was refused, in fact and not only in a dry run. */
  refusal: Refusal | undefined = undefined
  /** Milliseconds that it has waited for a slot. */
  waited = 0
  /** When an upgrade took its connection over, in the clock's milliseconds. */
  upgraded: number | undefined = undefined
  /** What its handler returned, if that is a promise. */
  work: Promise<unknown> | undefined = undefined
  /** Its end is that of the handler's work: not when it waits for its own reply, which is over as soon as the client leaves. */
  workTells = true
  /** Owned by the metrics stage. */
  metered: unknown = undefined
  /** The trace that it is part of, where there is one. */
  trace: Trace | undefined = undefined
  /** Owned by the concurrency stage. */
  waiter: unknown = undefined
  /** Owned by the deadline stage. */
  deadline: unknown = undefined
  #admission: Pass
  #audience: Audience
  #next = 0
  /** When it began to wait for a slot. */
  #waiting: number | undefined = undefined
  /** Behind another reply on its connection. */
  #pipelined = false
  #eventStream: boolean | undefined = undefined
  /** Of its refusal, in seconds. */
  #retryAfter: number | undefined = undefined
  #done: (error?: Error) => void = noop
  readonly writeHead: (status: number, reason?: any, headers?: any) => ServerResponse

  constructor (request: FastifyRequest, reply: FastifyReply, admission: Pass) {
    this.request = request
    this.reply = reply
    this.arrival = this.moment = admission.clock.now()
    this.route = admission.route(request)
    this.#admission = admission
    this.#audience = admission.audience
    const raw = request.raw as any
    const res = reply.raw
    raw[kTicket] = this
    this.writeHead = res.writeHead
    res.writeHead = watchedWriteHead as typeof res.writeHead
    res.on('close', closedReply)
    if (res.socket === null) {
      this.#pipelined = true
      watchPipelined(raw.socket, this)
    }
    if (asksForUpgrade(raw)) watchHijack(this)
    if (raw.upgrade === true) endWithReply(res)
    const stream = streamOf(raw)
    if (stream !== undefined) endWithStream(stream)
  }

  /** Walks the stages of one context; `done` goes on to the app. A client that is gone gets no handler. */
  pass (admission: Pass, done: (error?: Error) => void): void {
    if (this.request.raw.socket?.destroyed) this.close()
    if (this.closed || this.refused) {
      // Between two contexts, in a hook of the app's, which is over now; nothing runs behind it.
      if (this.started) this.settle()
      return
    }
    if (admission !== this.#admission) {
      this.#admission = admission
      this.#audience = admission.audienceBehind(this.#audience)
      this.route = admission.route(this.request)
      this.moment = admission.clock.now()
      this.started = false
    }
    this.#next = 0
    this.#done = done
    this.#walk()
  }

  /** Goes on behind the stage that held the ticket. A client that is gone gets no handler. */
  resume (): void {
    // All replies of a connection are told of its end one by one, and this may come from the first of them.
    if (this.request.raw.socket?.destroyed) {
      this.close()
      return
    }
    this.moment = this.#admission.clock.now()
    this.#walk()
  }

  #walk (): void {
    if (this.closed || this.refused) return
    if (this.#waiting !== undefined) this.#waitOver()
    const { steps } = this.route
    while (this.#next < steps.length) {
      const step = steps[this.#next++]!
      if (step.enter(this, step.settings)) continue
      if (step.stage.name === 'concurrency' && !this.refused) this.#waiting = this.moment
      return
    }
    this.started = true
    writeLateRefusals(this.moment)
    this.#done()
  }

  /** A hook that runs before the first stage answers: a preflight, or an auth that was registered first. */
  overtake (): void {
    this.settled = true
    for (const hears of this.#audience.overtaken) hears(this)
  }

  /** 0 is critical, 2 is first to go; 1 where no stage of this context knows better. */
  get priority (): 0 | 1 | 2 {
    for (const { stage, settings } of this.route.steps) {
      const priority = stage.priority?.(this, settings)
      if (priority === 0 || priority === 2) return priority
    }
    return 1
  }

  /** Its reply is one of server-sent events. To be asked when the head is written, not before. */
  get isEventStream (): boolean {
    if (this.#eventStream === undefined) {
      const type = this.reply.getHeader('content-type')
      this.#eventStream = typeof type === 'string' && type.startsWith('text/event-stream')
    }
    return this.#eventStream
  }

  /** True while the app may still be at work for this request. */
  get pending (): boolean {
    return this.started && !this.settled && (this.refused || !this.reply.sent)
  }

  /** Sends the refusal, or in a dry run only counts it; true when the request may go on. `retryAfter` is this request's own, in seconds. */
  refuse (refusal: Refusal, dryRun: boolean, retryAfter?: number): boolean {
    this.count(refusal, dryRun)
    if (dryRun) return true
    this.refused = true
    this.#retryAfter = retryAfter ?? refusal.retryAfter
    // An onSend hook of the app may be what takes so long.
    if (this.settled) writeRefusal(this.reply, refusal, retryAfter)
    else sendRefusal(this.request, this.reply, refusal, this.#admission.suite.onRefused, this.started ? undefined : this.moment, this.#retryAfter)
    return false
  }

  /** Sends the refusal that is on its way past Fastify, as prepared: it waits for others, or a hook of the app's holds it up, or failed. */
  refuseAtOnce (): void {
    if (this.refusal === undefined || this.headWritten || this.closed) return
    writeRefusal(this.reply, this.refusal, this.reply.hasHeader('retry-after') ? undefined : this.#retryAfter)
  }

  /** Counts a refusal that the app words itself, in its error handler or a handler of its own. */
  count (refusal: Refusal, dryRun: boolean): void {
    // Later than the walk on which it came here.
    if (this.started || this.#waiting !== undefined) this.moment = this.#admission.clock.now()
    if (!dryRun) {
      this.refusal = refusal
      const { steps } = this.route
      if (this.#waiting !== undefined) {
        this.#waitOver()
        steps[this.#next - 1]!.stage.withdrawn?.(this)
      }
      for (let next = this.#next; next < steps.length; next++) steps[next]!.stage.forestalled?.(refusal, steps[next]!.settings)
    }
    this.#admission.refusals.record(refusal, this.route.key, dryRun, this.moment)
  }

  /** For a stage that held the ticket and failed: the app's error handler answers, as it does for any hook that fails. */
  fail (error: unknown): void {
    // Not the stage's: it came from what ran behind it, where nobody is left to hand it to.
    if (this.started) throw error
    if (this.closed || this.refused) return
    this.#done(causeOf(error) as Error)
  }

  /** The handler is done, and its reply is on the way (or dropped, when the suite answered before it). */
  settle (): void {
    if (this.settled) return
    this.settled = true
    this.moment = this.#admission.clock.now()
    for (const hears of this.#audience.answered) hears(this)
  }

  head (): void {
    if (this.headWritten) return
    this.headWritten = true
    for (const hears of this.#audience.head) hears(this)
  }

  close (): void {
    if (this.closed) return
    this.closed = true
    this.moment = this.#admission.clock.now()
    if (this.#waiting !== undefined) this.#waitOver()
    if (this.#pipelined) unwatchPipelined(this.request.raw.socket, this)
    for (const hears of this.#audience.close) hears(this)
    if (this.pending && !this.refused) {
      // What it has not come to yet, of body and handler, would be begun for nobody, or wait for a body that is gone.
      forgoHandler(this.request, () => this.settle())
      watchErrorHandler(this.request, () => this.settle())
      this.followWork()
      watchBelated(this.reply, () => this.settle())
    }
  }

  /** For a handler whose reply nobody waits for any more. Fastify sends what it resolves with or fails with, but not nothing. */
  followWork (): void {
    this.work?.then(payload => {
      if (payload === undefined && this.workTells) this.settle()
    }, noop)
  }

  #waitOver (): void {
    this.waited = this.moment - this.#waiting!
    this.#waiting = undefined
  }

  /** The hijack of an upgrade: it has its first byte, and the reply object will never hear of another. */
  upgrade (): void {
    this.upgraded ??= this.#admission.clock.now()
    this.head()
  }
}

function noop () {}

function closedReply (this: ServerResponse): void {
  ticketOf(this.req)!.close()
}

/** Shared by all replies: a closure each would cost more than everything else here. Node calls it for implicit heads too. */
function watchedWriteHead (this: ServerResponse, status: number, reason?: any, headers?: any): ServerResponse {
  const ticket = ticketOf(this.req)!
  ticket.head()
  if (status >= 400) endUnreadBody(this.req, this)
  return ticket.writeHead.call(this, status, reason, headers)
}

/** An upgrade writes to the socket and never calls writeHead: taking over the reply is its first byte. */
function watchHijack (ticket: Ticket): void {
  const { reply } = ticket
  const { hijack } = reply
  reply.hijack = function watchedHijack () {
    ticket.upgrade()
    return hijack.call(reply)
  }
}
