// A gate admits up to `limit` claims at a time, lets some wait in a bounded room and sheds the rest. It prevents
// the collapse in which a server starts everything and finishes nothing (a semaphore with a bounded queue, as
// ants' pool with MaxBlockingTasks).
//
//   enter ─▶ inflight < limit and nobody waits? ─yes─▶ RUN ─▶ leave ─▶ the slot goes to the next who waits
//                      │no                                             in the same tick, never to a newcomer
//                      ▼
//            room, or somebody lower in it? ─yes─▶ WAIT ─▶ RUN | shed at maxWait | GONE
//                      │no
//                      ▼
//                    SHED
import type { Clock } from '../shared/clock.ts'
import { Line } from '../shared/line.ts'
import type { ShedReason, Waiter } from './waiter.ts'
import { WaitingRoom } from './waiting-room.ts'

export interface GateLimits {
  /** Requests that run at the same time. An integer ≥ 1. @default 1000 */
  limit: number
  /** Requests that wait for a slot at the same time; 0 sheds at once. An integer ≥ 0. @default 1000 */
  maxQueue: number
  /** Milliseconds that a request waits at most before it is refused with 503. An integer ≥ 1. @default 500 */
  maxWait: number
  /** Milliseconds after which the slot of a handler that goes on without its client is taken back. An integer ≥ 1. @default 30000 */
  orphanTimeout: number
}

export interface GateStats {
  /** 'OPEN' admits, 'DRAINING' finishes what it has, 'CLOSED' has finished. */
  state: 'OPEN' | 'DRAINING' | 'CLOSED'
  limit: number
  /** Slots taken now, those of orphans included. */
  inflight: number
  /** Live waiters. */
  queued: number
  /** Slots of handlers that still work for a client that is gone. */
  orphans: number
  /** Admitted since boot. */
  admitted: number
  /** Refused since boot, by reason. */
  shed: Record<ShedReason, number>
  /** Left the waiting room by themselves since boot. */
  gone: number
  /** Orphans whose slot was taken back at `orphanTimeout`, since boot. */
  orphansTimedOut: number
}

export class Gate {
  readonly #options: GateLimits
  readonly #clock: Clock
  readonly #room = new WaitingRoom()
  readonly #orphans = new Line<Waiter>()
  #limit: number
  #inflight = 0
  #open = true
  #timer: unknown = undefined
  #due = Infinity
  #admitted = 0
  #gone = 0
  #orphansTimedOut = 0
  readonly #shed: Record<ShedReason, number> = { queue_full: 0, queue_timeout: 0, evicted: 0, draining: 0 }
  readonly #atRest: Array<() => void> = []

  constructor (options: GateLimits, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#limit = options.limit
  }

  /** 'RUN' or 'WAIT', or why it is shed. A waiter that gets 'WAIT' hears of its outcome through its own methods. */
  enter (waiter: Waiter): 'RUN' | 'WAIT' | ShedReason {
    if (!this.#open) return this.#refuse(waiter, 'draining')
    if (this.#inflight < this.#limit && this.#room.size === 0) {
      this.#inflight++
      this.#admitted++
      waiter.state = 'RUN'
      return 'RUN'
    }
    if (this.#room.size >= this.#options.maxQueue) {
      const evicted = this.#room.yielding(waiter.priority)
      if (evicted === undefined) return this.#refuse(waiter, 'queue_full')
      this.#refuse(evicted, 'evicted')
      evicted.shed('evicted')
    }
    this.#room.join(waiter, this.#clock.now())
    this.#arm()
    return 'WAIT'
  }

  /** Ends a claim, whatever its state: gives back its slot or its place. A second call does nothing. */
  leave (waiter: Waiter): void {
    switch (waiter.state) {
      case 'WAIT':
        this.#room.leave(waiter)
        waiter.state = 'GONE'
        this.#gone++
        this.#settle()
        break
      case 'ORPHAN':
        this.#orphans.remove(waiter)
        this.#release(waiter)
        break
      case 'RUN':
        this.#release(waiter)
    }
  }

  /** The client is gone but the handler works on: the slot stays taken until `leave`, or `orphanTimeout`. */
  orphan (waiter: Waiter): void {
    if (waiter.state !== 'RUN') return
    waiter.state = 'ORPHAN'
    waiter.since = this.#clock.now()
    this.#orphans.push(waiter)
    this.#arm()
  }

  /** Sets the limit. A lower one cancels nothing: it holds as soon as enough claims have ended. */
  tune (limit: number): void {
    this.#limit = limit
    this.#grant()
  }

  /** Admits nobody any more; resolves when nobody runs or waits. Who waits already is still served. */
  drain (): Promise<void> {
    this.#open = false
    return new Promise(resolve => {
      this.#atRest.push(resolve)
      this.#settle()
    })
  }

  reopen (): void {
    this.#open = true
  }

  stats (): GateStats {
    return {
      state: this.#open ? 'OPEN' : this.#inflight + this.#room.size > 0 ? 'DRAINING' : 'CLOSED',
      limit: this.#limit,
      inflight: this.#inflight,
      queued: this.#room.size,
      orphans: this.#orphans.size,
      admitted: this.#admitted,
      shed: { ...this.#shed },
      gone: this.#gone,
      orphansTimedOut: this.#orphansTimedOut
    }
  }

  #refuse (waiter: Waiter, reason: ShedReason): ShedReason {
    waiter.state = 'SHED'
    this.#shed[reason]++
    return reason
  }

  #release (waiter: Waiter): void {
    waiter.state = 'DONE'
    this.#inflight--
    this.#grant()
    this.#settle()
  }

  #grant (): void {
    while (this.#inflight < this.#limit) {
      const waiter = this.#room.next()
      if (waiter === undefined) return
      this.#inflight++
      this.#admitted++
      waiter.state = 'RUN'
      waiter.admitted()
    }
  }

  #settle (): void {
    if (this.#inflight + this.#room.size > 0) return
    for (const resolve of this.#atRest.splice(0)) resolve()
  }

  /** One timer for everybody who waits and every orphan; a waiter that left early lets it fire once for nothing. */
  #arm (): void {
    const { maxWait, orphanTimeout } = this.#options
    const due = Math.min(this.#room.oldest + maxWait, (this.#orphans.first?.since ?? Infinity) + orphanTimeout)
    if (due >= this.#due) return
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer)
    this.#due = due
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined
      this.#due = Infinity
      this.#expire(this.#clock.now())
      this.#arm()
    }, Math.max(1, Math.ceil(due - this.#clock.now())))
  }

  #expire (now: number): void {
    const { maxWait, orphanTimeout } = this.#options
    for (let waiter = this.#room.expired(now - maxWait); waiter !== undefined; waiter = this.#room.expired(now - maxWait)) {
      this.#refuse(waiter, 'queue_timeout')
      waiter.shed('queue_timeout')
    }
    for (let orphan = this.#orphans.first; orphan !== undefined && orphan.since <= now - orphanTimeout; orphan = this.#orphans.first) {
      this.#orphansTimedOut++
      this.leave(orphan)
    }
    this.#settle()
  }
}
