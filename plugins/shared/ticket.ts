// A ticket follows one request from its admission to the end of its reply. Its endings are explicit, because
// Fastify's own are not reliable: onResponse never runs when the client aborts (fastify#6208), and a reply that
// is pipelined behind an aborted one has no 'close' event on Node 20 and 22.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from './clock.ts'
import type { Trace } from './histogram.ts'
import { sendRefusal, type Refusal } from './refusal.ts'
import type { Route, RouteFacts } from './route.ts'
import type { SuiteState } from './suite-state.ts'
import type { RefusalLog } from './telemetry.ts'
import { endUnreadBody } from './unread-body.ts'

/** The stages in the order in which a request meets them. */
export const STAGES = ['profiling', 'metrics', 'lifecycle', 'pressure', 'rate-limit', 'deadline', 'concurrency'] as const
export type StageName = typeof STAGES[number]

export interface Stage<Settings = any> {
  readonly name: StageName
  /** The route's `config` key that this stage reads; undefined reads none. */
  readonly configKey?: string
  /** Throws FST_SURGE_BAD_OPTION when the route's setting cannot be used; called at boot for every route declared later. */
  check?: (setting: unknown, route: RouteFacts) => void
  /** The stage's settings for one route, made at its first request; undefined lets the route pass. */
  configure: (setting: unknown, route: RouteFacts) => Settings | undefined
  /** True lets the ticket pass. False: it was refused, or is held and will be resumed. */
  enter: (ticket: Ticket, settings: Settings) => boolean
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

/** What a ticket passes: the stages of one context, and what they share. */
export interface Pass {
  readonly clock: Clock
  readonly refusals: RefusalLog
  readonly suite: SuiteState
  /** In order; a ticket walks them by index. */
  readonly stages: readonly Stage[]
  /** The route of a request, with every stage's settings for it. */
  route: (request: FastifyRequest) => Route
}

const kTicket = Symbol('fastify-surge.ticket')
const kPipelined = Symbol('fastify-surge.pipelined')

export function ticketOf (raw: IncomingMessage): Ticket | undefined {
  return (raw as any)[kTicket]
}

export class Ticket {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** When the request met the first stage, in the clock's milliseconds. */
  readonly arrival: number
  route: Route
  /** Every stage has let it pass: the app's own hooks and handler run, or ran. */
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
  /** Owned by the metrics stage. */
  metered: unknown = undefined
  /** The trace that it is part of, where there is one. */
  trace: Trace | undefined = undefined
  /** Owned by the concurrency stage. */
  waiter: unknown = undefined
  /** Owned by the deadline stage. */
  deadline: unknown = undefined
  #admission: Pass
  #watching: readonly Stage[]
  #next = 0
  /** When it began to wait for a slot. */
  #waiting: number | undefined = undefined
  #done: (error?: Error) => void = noop
  readonly writeHead: ServerResponse['writeHead']

  constructor (request: FastifyRequest, reply: FastifyReply, admission: Pass) {
    this.request = request
    this.reply = reply
    this.arrival = admission.clock.now()
    this.route = admission.route(request)
    this.#admission = admission
    this.#watching = admission.stages
    const raw = request.raw as any
    const res = reply.raw
    raw[kTicket] = this
    this.writeHead = res.writeHead
    res.writeHead = watchedWriteHead as typeof res.writeHead
    res.on('close', closedReply)
    // A reply without a socket stands behind another one on the same connection.
    if (res.socket === null) watchSocket(raw.socket, this)
    if (raw.headers.upgrade !== undefined) watchHijack(this)
    if (raw.upgrade === true) endWithReply(res)
  }

  /** Walks the stages of one context; `done` goes on to the app. A client that is gone gets no handler. */
  pass (admission: Pass, done: (error?: Error) => void): void {
    if (admission !== this.#admission) {
      this.#admission = admission
      this.#watching = [...this.#watching, ...admission.stages]
      this.route = admission.route(this.request)
    }
    if (this.request.raw.socket?.destroyed) {
      this.close()
      return
    }
    this.#next = 0
    this.#done = done
    this.resume()
  }

  /** Goes on behind the stage that held the ticket. */
  resume (): void {
    if (this.closed || this.refused) return
    if (this.#waiting !== undefined) this.#waitOver()
    const { stages } = this.#admission
    const { settings, exempt } = this.route
    while (this.#next < stages.length) {
      const index = this.#next++
      const stage = stages[index]!
      if (settings[index] === undefined || (exempt && stage.name !== 'lifecycle')) continue
      if (stage.enter(this, settings[index])) continue
      if (stage.name === 'concurrency' && !this.refused) this.#waiting = this.#admission.clock.now()
      return
    }
    this.started = true
    this.#done()
  }

  /** A hook that runs before the first stage answers: a preflight, or an auth that was registered first. */
  overtake (): void {
    this.settled = true
    for (const stage of this.#watching) stage.overtaken?.(this)
  }

  /** 0 is critical, 2 is first to go; 1 where no stage of this context knows better. */
  get priority (): 0 | 1 | 2 {
    const { stages } = this.#admission
    for (let index = 0; index < stages.length; index++) {
      const settings = this.route.settings[index]
      if (settings === undefined) continue
      const priority = stages[index]!.priority?.(this, settings)
      if (priority === 0 || priority === 2) return priority
    }
    return 1
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
    sendRefusal(this.request, this.reply, refusal, this.#admission.suite.onRefused, retryAfter)
    return false
  }

  /** Counts a refusal that the app words itself, in its error handler or a handler of its own. */
  count (refusal: Refusal, dryRun: boolean): void {
    if (!dryRun) {
      this.refusal = refusal
      if (this.#waiting !== undefined) this.#waitOver()
      const { stages } = this.#admission
      for (let index = this.#next; index < stages.length; index++) {
        const settings = this.route.settings[index]
        if (settings !== undefined) stages[index]!.forestalled?.(refusal, settings)
      }
    }
    this.#admission.refusals.record(refusal, this.route.key, dryRun)
  }

  /** For a stage that held the ticket and failed: the app's error handler answers, as it does for any hook that fails. */
  fail (error: unknown): void {
    // Not the stage's: it came from what ran behind it, where nobody is left to hand it to.
    if (this.started) throw error
    if (this.closed || this.refused) return
    this.#done(error as Error)
  }

  /** The handler is done, and its reply is on the way (or dropped, when the suite answered before it). */
  settle (): void {
    if (this.settled) return
    this.settled = true
    for (const stage of this.#watching) stage.answered?.(this)
  }

  head (): void {
    if (this.headWritten) return
    this.headWritten = true
    for (const stage of this.#watching) stage.head?.(this)
  }

  close (): void {
    if (this.closed) return
    this.closed = true
    if (this.#waiting !== undefined) this.#waitOver()
    unwatchSocket(this.request.raw.socket, this)
    for (const stage of this.#watching) stage.close?.(this)
  }

  #waitOver (): void {
    this.waited = this.#admission.clock.now() - this.#waiting!
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
function watchedWriteHead (this: ServerResponse, ...args: Parameters<ServerResponse['writeHead']>): ServerResponse {
  const ticket = ticketOf(this.req)!
  ticket.head()
  if (args[0] >= 400) endUnreadBody(this.req, this)
  return ticket.writeHead.apply(this, args)
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

/**
 * An upgrade that is answered with a reply instead, because it was refused: Node has let go of the connection, so no
 * timeout of the server would ever end it.
 */
function endWithReply (res: ServerResponse): void {
  res.shouldKeepAlive = false
  res.once('finish', function endUpgrade () {
    res.socket?.destroySoon()
  })
}

interface Watched extends Socket { [kPipelined]?: Set<Ticket> }

function watchSocket (socket: Watched, ticket: Ticket): void {
  if (socket[kPipelined] === undefined) {
    socket[kPipelined] = new Set()
    socket.once('close', closedSocket)
  }
  socket[kPipelined].add(ticket)
}

function unwatchSocket (socket: Watched | null, ticket: Ticket): void {
  socket?.[kPipelined]?.delete(ticket)
}

function closedSocket (this: Watched): void {
  for (const ticket of [...this[kPipelined]!]) ticket.close()
}
