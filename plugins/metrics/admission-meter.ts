// The gates: what they let in, held and refused, by their own counts, and how long those waited who had to.
import type { GateStats } from '../shared/gate/gate-stats.ts'
import type { Gates } from '../shared/gates.ts'
import { Histogram } from '../shared/histogram.ts'
import type { Add, Instrument, Instruments } from '../shared/instruments.ts'

export type WaitOutcome = 'admitted' | 'shed' | 'gone'

const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

const requests: Instrument = { name: 'fastify.admission.requests', type: 'counter', help: 'Claims of a gate by what became of them: admitted, shed for a reason, or gone from the waiting room' }
const queueDuration: Instrument = { name: 'fastify.admission.queue.duration', type: 'histogram', unit: 's', help: 'Time in the waiting room of a gate, of requests that were held there' }
const orphansTimedOut: Instrument = { name: 'fastify.admission.orphans.timed_out', type: 'counter', help: 'Slots taken back from handlers that worked on too long for a client that is gone' }

const GAUGES: Array<[name: string, help: string, read: (counts: GateStats) => number]> = [
  ['fastify.admission.limit', 'Claims that a gate lets run at a time', ({ limit }) => limit],
  ['fastify.admission.inflight', 'Claims that run, orphans included', ({ inflight }) => inflight],
  ['fastify.admission.queue.depth', 'Claims that wait', ({ queued }) => queued],
  ['fastify.admission.orphans', 'Handlers that work for a client that is gone', ({ orphans }) => orphans]
]

export class AdmissionMeter {
  readonly #waits = new Map<string, Map<WaitOutcome, Histogram>>()

  /** A request that was held is over with that. */
  waited (group: string, outcome: WaitOutcome, ms: number): void {
    let outcomes = this.#waits.get(group)
    if (outcomes === undefined) this.#waits.set(group, outcomes = new Map())
    let waits = outcomes.get(outcome)
    if (waits === undefined) outcomes.set(outcome, waits = new Histogram(BOUNDS))
    waits.observe(ms / 1000)
  }

  /** @param contexts the gates of each context that has its own */
  register (instruments: Instruments, contexts: () => Iterable<Gates>): void {
    instruments.add(requests, add => readAll(contexts(), readOutcomes, add))
    for (const [name, help, value] of GAUGES) {
      instruments.add({ name, type: 'gauge', help }, add => readAll(contexts(), (counts, group) => add(value(counts), { group }), add))
    }
    instruments.add(orphansTimedOut, add => readAll(contexts(), (counts, group) => add(counts.orphansTimedOut, { group }), add))
    instruments.add(queueDuration, add => {
      for (const [group, outcomes] of this.#waits) {
        for (const [outcome, waits] of outcomes) add(waits, { group, outcome })
      }
    })
  }
}

function readAll (contexts: Iterable<Gates>, read: (counts: GateStats, group: string, add: Add) => void, add: Add): void {
  for (const gates of contexts) {
    for (const group of gates.groups) read(gates.stats(group), group, add)
  }
}

function readOutcomes ({ admitted, shed, gone }: GateStats, group: string, add: Add): void {
  add(admitted, { group, outcome: 'admitted' })
  for (const [reason, count] of Object.entries(shed)) add(count, { group, outcome: 'shed', reason })
  add(gone, { group, outcome: 'gone' })
}

/** The gate that a route's `config.concurrency` names. */
export function groupOf (setting: unknown): string | undefined {
  if (setting === false) return undefined
  return typeof setting === 'string' ? setting : (setting as { group?: string } | undefined)?.group ?? 'default'
}
