// Caps how many requests run at a time, in one default gate and in named ones for what is scarcer. It prevents
// the collapse past the limit: work started for clients that will have left before it ends.
import type { FastifyInstance } from 'fastify'
import { admissionOf, type Stage } from '../shared/admission.ts'
import { integer, nearest, readValue, show } from '../shared/check.ts'
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { BadOption } from '../shared/errors.ts'
import { prepareRefusal } from '../shared/refusal.ts'
import type { Ticket } from '../shared/ticket.ts'
import { Gate, type GateStats } from './gate.ts'
import { DEFAULT_GROUP, readConcurrency, readRoute, type ConcurrencyOptions, type ResolvedOptions, type RouteConcurrency } from './options.ts'
import { runInGate, shedErrors } from './task-waiter.ts'
import { Waiter, type Priority, type ShedReason } from './waiter.ts'

export type { ConcurrencyOptions, GateStats, Priority, RouteConcurrency, ShedReason }

export interface RunOptions {
  /** @default 'default' */
  group?: string
  /** 0 is critical, 2 is first to go. @default 1 */
  priority?: Priority
  /** Ends the wait, and is handed to the task. */
  signal?: AbortSignal
}

export interface Concurrency {
  /** The names of all gates, 'default' first. */
  readonly groups: readonly string[]
  /** The counters of one gate. @default group 'default' */
  stats: (group?: string) => GateStats
  /** Sets a gate's limit from now on; a lower one cancels nothing. An integer ≥ 1. */
  tune: (limit: number, group?: string) => void
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
    /** The gate of this route: a group's name, `{ group, priority }`, or false for none. */
    concurrency?: RouteConcurrency
  }
}

interface RouteGate { gate: Gate, priority: (ticket: Ticket) => Priority }

const refusals = {
  queue_full: prepareRefusal('concurrency', 'queue_full', shedErrors.queue_full, 1),
  queue_timeout: prepareRefusal('concurrency', 'queue_timeout', shedErrors.queue_timeout, 1),
  evicted: prepareRefusal('concurrency', 'evicted', shedErrors.evicted, 1),
  draining: prepareRefusal('concurrency', 'draining', shedErrors.draining, 1)
} satisfies Record<ShedReason, unknown>

/** A request's claim: goes on, or is refused, when the gate says so. */
class TicketWaiter extends Waiter {
  readonly ticket: Ticket
  readonly gate: Gate
  readonly #dryRun: boolean

  constructor (ticket: Ticket, { gate, priority }: RouteGate, dryRun: boolean) {
    super(priority(ticket))
    this.ticket = ticket
    this.gate = gate
    this.#dryRun = dryRun
  }

  override admitted (): void {
    if (!this.#dryRun) this.ticket.resume()
  }

  override shed (reason: ShedReason): void {
    this.ticket.refuse(refusals[reason], this.#dryRun)
  }
}

function concurrencyStage (gates: Map<string, Gate>, options: ResolvedOptions, dryRun: boolean): Stage<RouteGate> {
  const names = [...gates.keys()]

  function give (ticket: Ticket): void {
    const waiter = ticket.waiter as TicketWaiter | undefined
    if (waiter !== undefined) waiter.gate.leave(waiter)
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
      const { group, priority = (group === DEFAULT_GROUP ? options : options.groups[group]!).priority ?? 1 } = read
      return {
        gate: gates.get(group)!,
        priority: typeof priority === 'function' ? ticket => priority(ticket.request) : () => priority
      }
    },

    enter (ticket, route) {
      const waiter = new TicketWaiter(ticket, route, dryRun)
      ticket.waiter = waiter
      const outcome = route.gate.enter(waiter)
      if (outcome === 'RUN') return true
      if (outcome === 'WAIT') return dryRun
      return ticket.refuse(refusals[outcome], dryRun)
    },

    answered (ticket) {
      // The client left before, or was answered by the deadline: its handler has settled just now.
      if (ticket.closed) give(ticket)
    },

    head (ticket) {
      // Replies that live long give their slot back at the first byte: a cap on them would be a cap on listeners.
      if (!ticket.refused && (ticket.closed || !ticket.settled || isEventStream(ticket))) give(ticket)
    },

    close (ticket) {
      const waiter = ticket.waiter as TicketWaiter | undefined
      if (waiter === undefined) return
      if (ticket.pending) waiter.gate.orphan(waiter)
      else waiter.gate.leave(waiter)
    }
  }
}

function isEventStream ({ reply }: Ticket): boolean {
  const type = reply.getHeader('content-type')
  return typeof type === 'string' && type.startsWith('text/event-stream')
}

export default definePlugin<ConcurrencyOptions, ResolvedOptions, Map<string, Gate>>({
  name: 'concurrency',
  key: 'concurrency',
  read: readConcurrency,
  perServer: false,
  decorates: ['concurrency'],

  create (_app, options) {
    const gates = new Map([[DEFAULT_GROUP, new Gate(options, systemClock)]])
    for (const [name, gate] of Object.entries(options.groups)) gates.set(name, new Gate(gate, systemClock))
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
      tune: (limit, group) => gateOf(group).tune(readValue('limit', limit, integer(1)) as number),
      run: async (task, { group, priority = 1, signal } = {}) => runInGate(gateOf(group), task, priority, signal),
      drain: async () => { await Promise.all([...gates.values()].map(gate => gate.drain())) },
      reopen: () => { for (const gate of gates.values()) gate.reopen() }
    })
    admissionOf(app).add(concurrencyStage(gates, options, options.dryRun ?? suite.dryRun))
  }
})
