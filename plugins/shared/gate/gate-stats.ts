// What a gate tells of itself: what it has at the moment, and what it counted since boot.
import { SHED_REASONS, type ShedReason } from './waiter.ts'

export interface GateStats {
  /** 'OPEN' admits, 'DRAINING' finishes what it has, 'CLOSED' has finished. */
  state: 'OPEN' | 'DRAINING' | 'CLOSED'
  limit: number
  /** The limit finds itself; false where it is a number of yours. */
  adaptive: boolean
  /** Slots taken now, those of orphans included. */
  inflight: number
  /** Live waiters. */
  queued: number
  /** Slots of handlers that still work for a client that is gone. */
  orphans: number
  /** True while the queue stands: newest first, and who waits too long is shed. */
  congested: boolean
  /** Milliseconds that a claim runs which does not fail, a moving average. */
  service: number
  /** Admitted since boot. */
  admitted: number
  /** Refused since boot, by reason; 'pressure' counts those that the process's own state kept from coming here. */
  shed: Record<ShedReason | 'pressure', number>
  /** Left the waiting room by themselves since boot. */
  gone: number
  /** Orphans whose slot was taken back at `orphanTimeout`, since boot. */
  orphansTimedOut: number
}

/** The part of it that only grows. */
export class GateCounters implements Pick<GateStats, 'admitted' | 'shed' | 'gone' | 'orphansTimedOut'> {
  admitted = 0
  readonly shed = Object.fromEntries([...SHED_REASONS, 'pressure'].map(reason => [reason, 0])) as GateStats['shed']
  gone = 0
  orphansTimedOut = 0
}
