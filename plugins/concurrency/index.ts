// Caps how many requests run at a time, in one default gate and in named ones for what is scarcer. It prevents
// the collapse past the limit: work started for clients that will have left before it ends.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { withoutPort } from '../shared/address.ts'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { nearest, show } from '../shared/check.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption, causeOf } from '../shared/errors.ts'
import { gatesOf } from '../shared/gates.ts'
import { Gate } from '../shared/gate/gate.ts'
import type { GateStats } from '../shared/gate/gate-stats.ts'
import { FixedLimit, type Limit } from '../shared/gate/limit.ts'
import { LoopTurns } from '../shared/gate/loop-turns.ts'
import { runInGate, shedErrors } from '../shared/gate/run-in-gate.ts'
import { SHED_REASONS, Waiter, type Priority, type ShedReason } from '../shared/gate/waiter.ts'
import { isPromise } from '../shared/promise.ts'
import { prepareRefusal, type Refusal } from '../shared/refusal.ts'
import { limitChannel } from '../shared/telemetry.ts'
import type { Ticket } from '../shared/ticket.ts'
import { watchSend } from '../shared/watch-send.ts'
import { AdaptiveLimit } from './adaptive-limit.ts'
import { DEFAULT_GROUP, readConcurrency, readLimit, readRoute, readRun, type ConcurrencyOptions, type GateOptions, type LimitBounds, type OnShed, type ResolvedOptions, type RouteConcurrency, type RunOptions } from './options.ts'

export type { ConcurrencyOptions, GateStats, LimitBounds, OnShed, Priority, RouteConcurrency, RunOptions, ShedReason }

export interface Concurrency {
  /** The names of all gates, 'default' first. */
  readonly groups: readonly string[]
  /** The counters of one gate. @default group 'default' */
  stats: (group?: string) => GateStats
  /**
   * Sets a gate's limit from now on, as the option `limit` does: an integer ≥ 1, or the bounds of one that adapts, which
   * begins anew. A lower one cancels nothing. @throws FST_SURGE_BAD_OPTION
   */
  tune: (limit: number | Partial<LimitBounds>, group?: string) => void
  /**
   * Runs work that is no request inside a gate.
   * @throws FST_SURGE_QUEUE_FULL, FST_SURGE_QUEUE_TIMEOUT, FST_SURGE_EVICTED, FST_SURGE_DRAINING (503)
   */
  run: <T>(task: (signal?: AbortSignal) => T | Promise<T>, options?: RunOptions) => Promise<T>
  /** Every gate admits nobody any more (503 FST_SURGE_DRAINING); resolves when all are at rest. */
  drain: () => Promise<void>
  /** Takes `drain()` back. */
  reopen: () => void
}

declare module 'fastify' {
  interface FastifyInstance {
    concurrency: Concurrency
  }
  interface FastifyContextConfig {
    /** The gate of this route: a group's name, `{ group, priority, key }`, or false for none. */
    concurrency?: RouteConcurrency
  }
}

interface RouteGate {
  gate: Gate
  /** The route's number. */
  kind: number
  priority: Priority | ((request: FastifyRequest) => Priority)
  /** Where the gate has shares. */
  key: ((request: FastifyRequest) => string | undefined) | undefined
  onShed: OnShed | undefined
  dryRun: boolean
}

const refusals = Object.fromEntries(SHED_REASONS.map(reason => [reason, prepareRefusal('concurrency', reason, shedErrors[reason], 1)])) as Record<ShedReason, Refusal>

/** There is one event loop, for all gates of all apps. */
const loop = new LoopTurns(systemClock.now)

/** A request's claim: goes on, or is refused, when the gate says so. */
class TicketWaiter extends Waiter {
  readonly ticket: Ticket
  readonly route: RouteGate

  constructor (ticket: Ticket, route: RouteGate) {
    super(priorityOf(ticket, route))
    this.ticket = ticket
    this.route = route
    this.kind = route.kind
    if (route.key !== undefined) this.key = route.key(ticket.request)
  }

  get patience (): number {
    return this.ticket.remaining
  }

  override admitted (): void {
    if (!this.route.dryRun) this.ticket.resume()
  }

  override shed (reason: ShedReason): void {
    refuse(this.ticket, this.route, reason)
  }
}

/** What a function of the app's says of a request. A promise says nothing in time, and ends no process when it fails. */
function ask<Answer> (of: (request: FastifyRequest) => Answer, request: FastifyRequest): Answer {
  try {
    const answer = of(request)
    if (isPromise(answer)) answer.then(noop, noop)
    return answer
  } catch (error) {
    throw causeOf(error)
  }
}

function priorityOf ({ request }: Ticket, { priority }: RouteGate): Priority {
  return typeof priority === 'function' ? ask(priority, request) : priority
}

/** True when the request may go on, which it may in a dry run only. */
function refuse (ticket: Ticket, { onShed, dryRun }: RouteGate, reason: ShedReason): boolean {
  if (onShed === undefined || dryRun) return ticket.refuse(refusals[reason], dryRun)
  degrade(ticket, onShed, reason).catch(error => ticket.fail(error))
  return false
}

/** Lets the app answer with something cheaper than the handler, and refuses where it does not. */
async function degrade (ticket: Ticket, onShed: OnShed, reason: ShedReason): Promise<void> {
  const { request, reply } = ticket
  const isSent = watchSend(reply)
  const payload = await onShed(request, reply, reason)
  // Its deadline may have passed meanwhile.
  if (ticket.closed || ticket.refused) return
  if (payload === undefined && !isSent()) {
    ticket.refuse(refusals[reason], false)
    return
  }
  ticket.count(refusals[reason], false)
  if (!isSent() && payload !== reply) reply.send(payload)
}

function concurrencyStage (gates: Map<string, Gate>, options: ResolvedOptions, dryRun: boolean): Stage<RouteGate> {
  const names = [...gates.keys()]
  /** Kind 0 is the work that is no request. */
  let routes = 0

  function give (ticket: Ticket, ending: 'served' | 'untelling', now?: number): void {
    const waiter = ticket.waiter as TicketWaiter | undefined
    if (waiter !== undefined) waiter.route.gate.leave(waiter, ending, now)
  }

  return {
    name: 'concurrency',
    configKey: 'concurrency',

    check (setting, route) {
      readRoute(setting, `config.concurrency of ${route.key}`, names)
    },

    configure (setting, route) {
      const read = readRoute(setting, `config.concurrency of ${route.key}`, names)
      if (read === false) return undefined
      const { group } = read
      const gate = optionsOfGate(options, group)
      const priority = read.priority ?? gate.priority ?? 1
      const key = read.key ?? gate.key
      return {
        gate: gates.get(group)!,
        kind: ++routes,
        priority,
        key: gate.maxPerKey === undefined ? undefined : key === undefined ? ipOf : request => ask(key, request),
        onShed: gate.onShed,
        dryRun
      }
    },

    priority: priorityOf,

    forestalled ({ by }, { gate }) {
      if (by === 'pressure') gate.forestalled()
    },

    enter (ticket, route) {
      const waiter = new TicketWaiter(ticket, route)
      ticket.waiter = waiter
      const outcome = route.gate.enter(waiter, ticket.moment)
      if (outcome === 'RUN') return true
      if (outcome === 'WAIT') return dryRun
      return refuse(ticket, route, outcome)
    },

    withdrawn (ticket) {
      give(ticket, 'untelling')
    },

    answered (ticket) {
      // The client left before, or was answered by the deadline: its handler has settled just now.
      if (ticket.closed) give(ticket, 'untelling', ticket.moment)
      else {
        const waiter = ticket.waiter as TicketWaiter | undefined
        if (waiter !== undefined) waiter.route.gate.worked(waiter, ticket.moment)
      }
    },

    head (ticket) {
      // Replies that live long give their slot back at the first byte: a cap on them would be a cap on listeners.
      if (!ticket.refused && (ticket.closed || !ticket.settled || ticket.isEventStream)) give(ticket, 'untelling')
    },

    close (ticket) {
      const waiter = ticket.waiter as TicketWaiter | undefined
      if (waiter === undefined) return
      // In a dry run a handler may be at work whose claim waits still: in truth it would leave the room now.
      if (ticket.pending && waiter.state !== 'WAIT') waiter.route.gate.orphan(waiter)
      // A failure is quick for reasons of its own, and would be read as health.
      else give(ticket, ticket.settled && ticket.reply.statusCode < 400 ? 'served' : 'untelling', ticket.moment)
    }
  }
}

function optionsOfGate (options: ResolvedOptions, group: string): GateOptions {
  return group === DEFAULT_GROUP ? options : options.groups[group]!
}

function noop () {}

/** Undefined on a Unix socket: its clients share with nobody. */
function ipOf ({ ip }: { ip: string | undefined }): string | undefined {
  return ip === undefined ? undefined : withoutPort(ip)
}

function tell (group: string, limit: number, before: number): void {
  if (limit !== before && limitChannel.hasSubscribers) limitChannel.publish({ group, limit, before })
}

function makeLimit (group: string, limit: number | LimitBounds, { maxWait }: GateOptions): Limit {
  return typeof limit === 'number' ? new FixedLimit(limit) : new AdaptiveLimit({ ...limit, maxWait }, (limit, before) => tell(group, limit, before))
}

function makeGate (group: string, options: GateOptions): Gate {
  const { limit, rate, maxQueue, maxWait, target = 'service', maxPerKey, orphanTimeout } = options
  return new Gate({ limit: makeLimit(group, limit, options), rate, maxQueue, maxWait, target, maxPerKey, orphanTimeout }, systemClock, loop)
}

export default definePlugin<ConcurrencyOptions, ResolvedOptions, Map<string, Gate>>({
  name: 'concurrency',
  key: 'concurrency',
  read: readConcurrency,
  perServer: false,
  decorates: ['concurrency'],

  create (_app, options) {
    const gates = new Map([[DEFAULT_GROUP, makeGate(DEFAULT_GROUP, options)]])
    for (const [name, gate] of Object.entries(options.groups)) gates.set(name, makeGate(name, gate))
    return gates
  },

  attach (app: FastifyInstance, gates, options, suite) {
    function gateOf (group = DEFAULT_GROUP): Gate {
      const gate = gates.get(group)
      if (gate !== undefined) return gate
      const near = nearest(group, [...gates.keys()])
      throw new BadOption(`Expected \`group\` to be one of ${[...gates.keys()].map(show).join(', ')}, got ${show(group)}.${near === undefined ? '' : ` Did you mean ${show(near)}?`}`)
    }

    app.decorate('concurrency', {
      groups: [...gates.keys()],
      stats: group => gateOf(group).stats(),
      tune: (limit, group = DEFAULT_GROUP) => {
        const gate = gateOf(group)
        const tuned = makeLimit(group, readLimit(limit), optionsOfGate(options, group))
        tell(group, tuned.current, gate.stats().limit)
        gate.tune(tuned)
      },
      run: async (task, options = {}) => {
        const { group, priority, signal } = readRun(options)
        return runInGate(gateOf(group), task, priority, signal)
      },
      drain: async () => { await Promise.all([...gates.values()].map(gate => gate.drain())) },
      reopen: () => { for (const gate of gates.values()) gate.reopen() }
    })
    const dryRun = options.dryRun ?? suite.dryRun
    const admission = admissionOf(app)
    admission.add(concurrencyStage(gates, options, dryRun))
    gatesOf(app.server).add({
      groups: [...gates.keys()],
      stats: group => gateOf(group).stats(),
      enforced: () => !dryRun && admission.switches.concurrency === true
    })
  }
})
