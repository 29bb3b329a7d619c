// A gate admits as many claims as its permits allow, lets some wait in a bounded room and sheds the rest. It prevents
// the collapse in which a server starts everything and finishes nothing.
//
//   enter ─▶ a permit, and nobody waits? ─yes─▶ RUN ─▶ leave ─▶ the slot goes to the next who waits,
//                   │no                                          in the same tick, never to a newcomer
//                   ▼
//       its key's share taken, or no patience for the wait? ─yes─▶ SHED
//                   │no
//                   ▼
//       room, or somebody lower in it? ─yes─▶ WAIT ─▶ RUN | shed at maxWait | GONE
//                   │no
//                   ▼
//                 SHED
//
// Permits come back by release (a semaphore of `limit`), by the clock (a token bucket), and from the event loop, which has
// turns to give; a gate may have all three, and who is admitted has one of each.
import type { Clock } from '../clock.ts'
import { Line } from '../line.ts'
import { Alarm } from './alarm.ts'
import { Congestion } from './congestion.ts'
import { GateCounters, type GateStats } from './gate-stats.ts'
import type { Ending, Limit } from './limit.ts'
import type { LoopTurns, TurnTaker } from './loop-turns.ts'
import { Permits } from './permits.ts'
import { Shares } from './shares.ts'
import type { Rate } from './token-bucket.ts'
import type { ShedReason, Waiter } from './waiter.ts'
import { WaitingRoom } from './waiting-room.ts'

export interface GateLimits {
  limit: Limit
  /** Permits by time as well. */
  rate?: Rate | undefined
  /** Claims that wait at the same time; 0 sheds at once. */
  maxQueue: number
  /** Milliseconds that a claim waits at most. */
  maxWait: number
  /** Milliseconds of wait that are a standing queue; 'service' adapts to the service time, Infinity is plain first come, first served. */
  target: number | 'service'
  /** Claims of one key, running and waiting, while the gate is full. */
  maxPerKey?: number | undefined
  /** Milliseconds after which the slot of an orphan is taken back. */
  orphanTimeout: number
}

const EXPIRED_AT_ONCE = 64

export class Gate implements TurnTaker {
  readonly #limits: GateLimits
  readonly #clock: Clock
  readonly #room = new WaitingRoom()
  readonly #orphans = new Line<Waiter>()
  readonly #permits: Permits
  readonly #congestion: Congestion
  readonly #shares: Shares | undefined
  readonly #loop: LoopTurns | undefined
  #open = true
  readonly #counters = new GateCounters()
  readonly #alarm: Alarm
  readonly #atRest: Array<() => void> = []

  /** `loop` where what is admitted runs on the event loop. */
  constructor (limits: GateLimits, clock: Clock, loop?: LoopTurns) {
    this.#limits = limits
    this.#clock = clock
    this.#loop = loop
    this.#alarm = new Alarm(clock, now => this.#wake(now))
    this.#permits = new Permits(limits.limit, limits.rate)
    this.#congestion = new Congestion(limits.target)
    this.#shares = limits.maxPerKey === undefined ? undefined : new Shares(limits.maxPerKey)
  }

  /**
   * 'RUN' or 'WAIT', or why it is shed. A waiter that gets 'WAIT' hears of its outcome through its own methods.
   * @param now the clock's milliseconds, for a caller that has just read them
   */
  enter (waiter: Waiter, now = this.#clock.now()): 'RUN' | 'WAIT' | ShedReason {
    const turn = this.#loop === undefined || this.#loop.arrive(now)
    if (turn && this.#open && this.#room.size === 0 && this.#permits.take(now)) return this.#admit(waiter, now)
    return this.#queue(waiter, turn, now)
  }

  /** One that is not admitted at once: apart, so that the way of those who are is short. */
  #queue (waiter: Waiter, turn: boolean, now: number): 'RUN' | 'WAIT' | ShedReason {
    if (!this.#open) return this.#refuse(waiter, 'draining')
    // The room is for those who wait for slots and tokens: a burst that waits for the loop alone does not fill it.
    const late = !turn && this.#permits.slotFree
    const burst = late && !this.#loop!.standing(now)
    const reason = this.#unwelcome(waiter, burst, now)
    if (reason !== undefined) return this.#refuse(waiter, reason)
    if (this.#room.size >= this.#limits.maxQueue && burst && this.#permits.take(now)) {
      if (this.#room.size === 0) return this.#admit(waiter, now)
      this.#grantOne(now)
    }
    if (this.#room.size >= this.#limits.maxQueue) {
      const evicted = this.#room.yielding(waiter.priority)
      if (evicted === undefined) return this.#refuse(waiter, late ? 'loop_busy' : 'queue_full')
      this.#drop(evicted, 'evicted')
      // Its onShed may have raised the limit or filled its place: then nothing of the above holds any more.
      return this.enter(waiter, now)
    }
    this.#shares?.add(waiter.key)
    this.#room.join(waiter, now)
    if (!turn) this.#loop!.wait(this)
    this.#arm(now)
    this.#hold()
    return 'WAIT'
  }

  /** Ends a claim, whatever its state: gives back its slot or its place. A second call does nothing. */
  leave (waiter: Waiter, ending: Exclude<Ending, 'orphaned'> = 'served', now = this.#clock.now()): void {
    switch (waiter.state) {
      case 'WAIT':
        this.#room.leave(waiter)
        waiter.state = 'GONE'
        this.#counters.gone++
        this.#shares?.remove(waiter.key)
        this.#hold()
        this.#settle()
        break
      case 'ORPHAN':
        this.#orphans.remove(waiter)
        this.#release(waiter, 'orphaned', now)
        break
      case 'RUN':
        this.#release(waiter, ending, now)
    }
  }

  /** Its work is done, whether or not its slot comes back already. */
  worked (waiter: Waiter, now: number): void {
    waiter.service = now - waiter.started
    if (this.#loop !== undefined) waiter.lag = this.#loop.lag(waiter.started, now)
  }

  /** The client is gone but the handler works on: the slot stays taken until `leave`, or `orphanTimeout`. */
  orphan (waiter: Waiter): void {
    if (waiter.state !== 'RUN') return
    const now = this.#clock.now()
    waiter.state = 'ORPHAN'
    waiter.since = now
    this.#orphans.push(waiter)
    this.#arm(now)
  }

  /** A claim was refused before it came here, for the process's own state. */
  forestalled (): void {
    this.#counters.shed.pressure++
  }

  /** Another limit from now on. A lower one cancels nothing: it holds as soon as enough claims have ended. */
  tune (limit: Limit): void {
    this.#permits.limit = limit
    this.#grant(this.#clock.now())
  }

  /** Admits nobody any more; resolves when nobody runs or waits. Who waits already is still served. */
  drain (): Promise<void> {
    this.#open = false
    return new Promise(resolve => {
      this.#atRest.push(resolve)
      this.#hold()
      this.#settle()
    })
  }

  reopen (): void {
    this.#open = true
  }

  stats (): GateStats {
    return {
      state: this.#open ? 'OPEN' : this.#permits.taken + this.#room.size > 0 ? 'DRAINING' : 'CLOSED',
      limit: this.#permits.limit.current,
      adaptive: this.#permits.limit.adaptive,
      inflight: this.#permits.taken,
      queued: this.#room.size,
      orphans: this.#orphans.size,
      congested: this.#congestion.congested,
      service: this.#congestion.service,
      ...this.#counters,
      shed: { ...this.#counters.shed }
    }
  }

  /** Admits the next when a slot and a token are there; the loop gives the turn. */
  takeTurn (now: number): void {
    if (this.#room.size === 0) return
    if (this.#permits.take(now)) {
      this.#grantOne(now)
      this.#alarm.set(this.#limitDue, now)
    } else this.#arm(now)
  }

  /** How many of the room wait for nothing but the loop; while a token is what is missing, its timer sees to them. */
  ready (now: number): number {
    if (this.#permits.tokenDue(now) > 0) return 0
    return Math.max(0, Math.min(this.#room.size, this.#permits.limit.current - this.#permits.taken))
  }

  /** Why there is no use in letting this one wait, if there is none. */
  #unwelcome (waiter: Waiter, burst: boolean, now: number): ShedReason | undefined {
    if (!burst && this.#shares?.exhausted(waiter.key)) return 'key_share'
    // A higher priority may still come and pass this one: then it waits in vain, and hears so at maxWait.
    const ahead = this.#room.ahead(waiter.priority)
    // A wait for tokens is known beforehand; refused here, it commits nothing.
    if (this.#permits.tokenDue(now, ahead) > Math.min(this.#limits.maxWait, waiter.patience)) return 'predicted_wait'
    const { limit } = this.#permits
    if (!limit.searching && (ahead + 1) * this.#congestion.service / limit.current > waiter.patience) return 'predicted_wait'
    return undefined
  }

  #refuse (waiter: Waiter, reason: ShedReason): ShedReason {
    waiter.state = 'SHED'
    this.#counters.shed[reason]++
    return reason
  }

  /** Refuses one that has been taken out of the room. */
  #drop (waiter: Waiter, reason: ShedReason): void {
    this.#refuse(waiter, reason)
    this.#shares?.remove(waiter.key)
    this.#hold()
    waiter.shed(reason)
  }

  #admit (waiter: Waiter, now: number): 'RUN' {
    this.#run(waiter, 0, now)
    this.#shares?.add(waiter.key)
    return 'RUN'
  }

  #run (waiter: Waiter, standing: number, now: number): void {
    this.#counters.admitted++
    waiter.state = 'RUN'
    waiter.started = now
    waiter.began = this.#permits.taken
    // In a dry run its work may have been done while it waited.
    waiter.service = -1
    this.#congestion.admitted(standing, now)
  }

  #release (waiter: Waiter, ending: Ending, now: number): void {
    const { taken, slotsAreShort } = this.#permits
    if (ending === 'served') this.#congestion.served(now - waiter.started)
    if (waiter.service < 0) this.worked(waiter, now)
    this.#permits.limit.ended(waiter, ending, taken, slotsAreShort ? this.#room.size : 0, now)
    waiter.state = 'DONE'
    this.#permits.release()
    this.#shares?.remove(waiter.key)
    if (this.#room.size > 0) this.#grant(now)
    else if (this.#atRest.length > 0) this.#settle()
  }

  #grant (now: number): void {
    while (this.#room.size > 0 && this.#permits.slotFree) {
      if (this.#loop?.open(now) === false) {
        this.#loop.wait(this)
        return
      }
      if (!this.#permits.take(now)) {
        this.#arm(now)
        return
      }
      this.#grantOne(now)
    }
    this.#alarm.set(this.#limitDue, now)
  }

  /** Its slot and its token are taken. */
  #grantOne (now: number): void {
    const standing = now - this.#room.oldest
    const waiter = this.#room.next(this.#isCongested(now))!
    this.#run(waiter, standing, now)
    this.#hold()
    waiter.admitted()
  }

  #settle (): void {
    if (this.#atRest.length === 0 || this.#permits.taken + this.#room.size > 0) return
    for (const resolve of this.#atRest.splice(0)) resolve()
    this.#hold()
  }

  /** Of one who waits, without a socket, nothing but the alarm may keep the process alive. */
  #hold (): void {
    this.#alarm.hold(this.#room.size > 0 || this.#atRest.length > 0)
  }

  /** Never while tokens are what is waited for, whose queue is meant to stand, nor slots that are still being looked for. */
  #isCongested (now: number): boolean {
    if (!this.#congestion.congested) return false
    if (this.#permits.limit.searching && this.#loop?.standing(now) !== true) return false
    return this.#permits.slotsAreShort
  }

  /** When the limit wants to hear that somebody has waited for a slot all the time: also of one that waited for the loop until all were taken. */
  get #limitDue (): number {
    return this.#room.size > 0 && !this.#permits.slotFree ? this.#permits.limit.due(this.#room.oldest) : Infinity
  }

  /** Milliseconds that the oldest may wait. */
  #longest (now: number): number {
    return this.#isCongested(now) ? Math.min(this.#limits.maxWait, 2 * this.#congestion.target) : this.#limits.maxWait
  }

  /** For everybody who waits, the next token and every orphan. */
  #arm (now: number): void {
    let due = Math.min(this.#room.oldest + this.#longest(now), (this.#orphans.first?.since ?? Infinity) + this.#limits.orphanTimeout, this.#limitDue)
    if (this.#room.size > 0 && !this.#permits.slotsAreShort) due = Math.min(due, now + this.#permits.tokenDue(now))
    this.#alarm.set(due, now)
  }

  #wake (now: number): void {
    if (now >= this.#limitDue) this.#permits.limit.waited(now, this.#permits.taken, this.#orphans.size)
    this.#expire(now)
    this.#grant(now)
    this.#arm(now)
  }

  #expire (now: number): void {
    // The rest follow within a millisecond: a thousand refusals at once would be 40 ms in which nothing else is done.
    for (let refused = 0; refused < EXPIRED_AT_ONCE; refused++) {
      const waiter = this.#room.expired(now - this.#longest(now))
      if (waiter === undefined) break
      this.#drop(waiter, 'queue_timeout')
    }
    for (;;) {
      const orphan = this.#orphans.first
      if (orphan === undefined || orphan.since > now - this.#limits.orphanTimeout) break
      this.#counters.orphansTimedOut++
      this.#orphans.remove(orphan)
      // It has not ended: how long it took is a number of ours.
      this.#release(orphan, 'untelling', now)
    }
    this.#settle()
  }
}
