// Finds how many claims a gate may run at a time, from nothing but how long they take. It prevents both ends of a guess:
// a limit so high that a queue builds up out of sight, before the database or on the loop, and one so low that it sheds
// what could have been served.
//
// Claims are judged in rounds, by their stretch and its tolerance (service-times.ts). Until a queue shows, the limit is
// searched for, and starts at 32:
//
//   somebody has waited for 80 ms, and neither this round's
//   stretch nor, of less than 4 claims, the last's > tolerance: limit = 2 × limit      (slow start, as TCP's)
//   stretch ≤ tolerance, and claims had to wait:                limit = 2 × most in flight
//   nobody had to wait for 2 s:                                 limit = max(32, 2 × most in flight, limit / 2)
//   stretch > tolerance, and nobody had to wait:                base follows slowly
//
// From the first queue on it is found, and the gate takes its waiting room for a standing queue:
//
//   stretch > tolerance, and claims had to wait:   limit = inflight × max(½, e^½(tolerance − stretch)), and that is a trial
//   stretch ≤ tolerance, and claims had to wait:   limit = 1.1 × most in flight + 1
//   nobody had to wait for 2 s, or no claim ends:  searched for again
//
// TCP Vegas asks the same question (Brakmo 1994; for servers: Netflix' concurrency-limits, Uber's Cinnamon, failsafe-go),
// by the shortest time ever seen. Two things are different here, since each of them was seen to fail in simulation:
//
// - The base is tried, not believed. A service that became slower and a queue look alike, until there are fewer in flight:
//   a queue then falls in proportion, the service does not. So each reduction is a trial, judged by claims that began after
//   it once those before it are gone: if a third fewer in flight did not take off half of what they should have, the queue
//   was not ours, the base becomes what is measured now, and the limit comes back. And as a base may also be too high, or
//   too low by a little for any reduction to reach a third, there is a probe at 60% each 5 s (20 services, if those are longer)
//   while claims have to wait.
// - A burst is let in by doublings, out of the waiting room, and not at once. At ten times the capacity of ten slots of 20 ms
//   a limit that started at 1000 had let so much in, when the first round told of it, that the service worked for nobody for
//   a second. Doublings fit into the wait that a claim has: a burst of calls that merely take long loses nobody, although
//   nothing is heard of it before the first of them ends. They stop where clients leave before their claims end.

import type { Claim, Ending, Limit } from '../shared/gate/limit.ts'
import { ServiceTimes } from './service-times.ts'

const START = 32
/** Milliseconds that somebody waits for each doubling. */
const DOUBLING_MS = 80
/** Milliseconds and claims that a round takes at least; one whose stretch is beyond doubt is over with fewer claims. */
const ROUND_MS = 50
const ROUND_CLAIMS = 50
const CLEAR_CLAIMS = 20
/** Fewer say nothing yet of a doubling: the last round does. */
const FEW_CLAIMS = 4
/** More say nothing new of a round in which nobody waits, and each costs. */
const PLENTY_CLAIMS = 50
const PROBE_MS = 5_000
const IDLE_MS = 2_000
/** Service times without an end, behind which nothing is known any more. */
const SILENT_SERVICES = 10
/** The share of orphans in flight that shows that claims are admitted for nothing. */
const ORPHANS = 1 / 8
/** What a difference of two times may be off by. */
const ROUNDING_MS = 0.001
/** ln 1.5: in flight fell by a third. */
const THIRD_FEWER = 0.4
const SLACK = 1.25

interface Trial {
  inflight: number
  /** The limit before. */
  limit: number
  since: number
  /** Claims from before that are still to end: nine tenths, so that a straggler does not hold it up. */
  before: number
  probe: boolean
}

export class AdaptiveLimit implements Limit {
  current = 0
  readonly adaptive = true
  searching = true
  readonly #min: number
  readonly #max: number
  readonly #doubling: number
  readonly #changed: (limit: number, before: number) => void
  readonly #round = new ServiceTimes()
  #roundEnd = 0
  #waited = false
  #lastWait = -Infinity
  #lastEnd = -Infinity
  #lastDoubling = -Infinity
  #lastVerdict = 0
  /** Most in flight since somebody had to wait, or the last verdict. */
  #most = 0
  /** The last round's verdict. */
  #queue = false
  #trial: Trial | undefined

  /** `changed` is told each limit behind the first. */
  constructor ({ min, max, maxWait }: { min: number, max: number, maxWait: number }, changed: (limit: number, before: number) => void = () => {}) {
    this.#min = min
    this.#max = max
    this.#doubling = Math.min(DOUBLING_MS, maxWait / (1 + Math.max(1, Math.ceil(Math.log2(max / START)))))
    this.current = this.#within(START)
    this.#changed = changed
  }

  due (oldest: number): number {
    if (this.current >= this.#max) return Infinity
    const doubling = Math.max(oldest, this.#lastDoubling) + this.#doubling
    return this.searching ? doubling : Math.max(doubling, this.#silent)
  }

  waited (now: number, inflight: number, orphans: number): void {
    this.#lastDoubling = now
    if (now >= this.#silent) {
      this.#trial = undefined
      this.#nextRound(now)
      this.#queue = false
    }
    this.searching = orphans <= ORPHANS * inflight
    if (this.searching && !(this.#round.count < FEW_CLAIMS ? this.#queue : this.#round.queue)) this.#set(2 * this.current)
  }

  /** When nothing is known any more, if nobody ends until then. */
  get #silent (): number {
    return this.#lastEnd + this.#doubling + SILENT_SERVICES * this.#round.usual
  }

  ended (claim: Claim, ending: Ending, inflight: number, queued: number, now: number): void {
    this.#lastEnd = now
    if (queued > 0) {
      this.#waited = true
      this.#lastWait = now
      this.#most = 0
    } else if (inflight > this.#most) this.#most = inflight
    const round = this.#round
    const trial = this.#trial
    const plenty = queued === 0 && round.count >= PLENTY_CLAIMS && now < this.#roundEnd
    const fromBefore = trial !== undefined && claim.started <= trial.since + ROUNDING_MS
    if (fromBefore && trial.before > 0 && --trial.before === 0) this.#nextRound(now)
    // What is left of before when the others are gone met another number in flight.
    else if (!(fromBefore && trial.before === 0) && ending !== 'untelling' && !plenty) round.add(claim, ending === 'orphaned')
    if (now >= this.#roundEnd && round.count >= CLEAR_CLAIMS && round.count % 10 === 0) this.#judge(now, inflight)
  }

  #judge (now: number, running: number): void {
    const round = this.#round
    const { stretch, tolerance, inflight, queue } = round
    if (round.count < ROUND_CLAIMS && stretch < tolerance + 3 * round.noise) return
    this.#queue = queue
    const interval = Math.max(PROBE_MS, 20 * round.usual)
    const fewer = Math.min(this.current - 1, inflight * Math.max(0.5, Math.exp((tolerance - stretch) / 2)))

    if (this.#trial !== undefined) this.#judgeTrial(this.#trial, now, running, fewer, interval)
    else if (!this.#waited) {
      round.learn(0.1)
      if (!queue && now - Math.max(this.#lastWait, this.#lastVerdict) > IDLE_MS) {
        this.searching = true
        this.#lastVerdict = now
        this.#set(Math.max(START, 2 * this.#most, this.current / 2))
        this.#most = 0
      }
    } else if (queue) {
      this.searching = false
      this.#try(now, running, inflight, this.current, false)
      this.#set(fewer)
    } else if (!this.searching && now - this.#lastVerdict > interval && inflight > this.current / 2) {
      this.#try(now, running, inflight, this.current, true)
      this.#set(0.6 * inflight)
    } else {
      this.#set(Math.max(this.current, this.searching ? 2 * round.peak : Math.min(2 * this.current, 1.1 * round.peak + 1)))
      // Downwards only: while claims wait in front, what makes them slower may be others in front of them.
      if (stretch < 0) round.learn(0.1)
    }
    this.#nextRound(now)
  }

  #judgeTrial (trial: Trial, now: number, running: number, fewer: number, interval: number): void {
    const round = this.#round
    const { inflight, queue } = round
    if (trial.before > 0) {
      // These began before it: they tell what it is to be compared with, and may call for less still.
      if (inflight > trial.inflight) {
        trial.inflight = inflight
        round.remark()
      }
      if (queue) this.#set(Math.min(this.current, fewer + 1))
      else if (!trial.probe) this.#trial = undefined
      // Claims that hang hold no probe up for ever.
      else if (now - trial.since > interval) {
        this.#trial = undefined
        this.#lastVerdict = now
        this.#set(trial.limit)
      }
      return
    }
    const reduction = Math.log(trial.inflight / inflight)
    const ours = round.fall >= reduction / 2
    const judged = reduction >= THIRD_FEWER
    if (judged) this.#lastVerdict = now
    this.#trial = undefined
    if (!queue) {
      if (judged) round.learn(0.5)
      if (trial.probe) this.#set(trial.limit)
    } else if (!ours && (judged || this.current === this.#min)) {
      round.learn(1)
      this.#set(Math.min(trial.limit, SLACK * trial.inflight))
    } else {
      if (ours && judged) this.#try(now, running, inflight, trial.limit, false)
      // Not judged yet: the same trial, with fewer.
      else this.#trial = { ...trial, since: now, before: almostAll(running), probe: false }
      this.#set(fewer)
    }
  }

  #try (since: number, running: number, inflight: number, limit: number, probe: boolean): void {
    this.#trial = { inflight, limit, since, before: almostAll(running), probe }
    this.#round.mark()
  }

  #nextRound (now: number): void {
    this.#round.next()
    this.#waited = false
    this.#roundEnd = now + ROUND_MS
  }

  #set (limit: number): void {
    const before = this.current
    this.current = this.#within(limit)
    if (this.current !== before) this.#changed(this.current, before)
  }

  #within (limit: number): number {
    return Math.max(this.#min, Math.min(this.#max, Math.round(limit)))
  }
}

/** Of those that run, without the one that is about to end. */
function almostAll (running: number): number {
  return Math.max(1, Math.floor(0.9 * (running - 1)))
}
