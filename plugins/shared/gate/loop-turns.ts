// The event loop as a source of permits. Synchronous handlers never overlap, so no cap sees their queue: it stands in the
// kernel, where nobody is told anything and probes wait in it as well. So once a turn of the loop has taken too long,
// newcomers wait in the rooms of their gates, and are handed out a few at a time behind the intake, which is cheap:
//
//   open ── a turn passes 10 ms ──▶ behind:  intake ──▶ hand out, 10 ms at most ──▶ intake ──▶ …
//     ▲                                         until an iteration brings nobody, or for 20 ms
//     └── nobody waits ───────────────┘
//
// A turn is not an iteration: libuv accepts one connection an iteration, so 500 new ones with a handler of 2 ms are 500
// short iterations. It lasts until one of them brings nobody, or is over so soon that nobody has waited. What is handed out
// runs in an immediate of its own, so that promises settle in between and what they compute counts.

const TURN_MS = 10
const INTAKE_MS = 20
/** An iteration that is over sooner keeps nobody waiting, however busy the loop is. */
const SHORT_MS = 1
/** After the loop has caught up, the next turn is timed this much later only: to hear of its end costs the loop an iteration. */
const REST_MS = 5
/** Behind for longer than this is no burst (new connections, code that is compiled, a collection of garbage), which is taken in as a whole. */
const STANDING_MS = 100
/** So late in an iteration its newcomers have waited that long already. */
const LATE_MS = 35
/** Handed out an iteration at most. */
const BATCH = 64

/** A gate in whose room somebody waits for nothing but the loop. */
export interface TurnTaker {
  /** How many could be admitted now. */
  ready: (now: number) => number
  /** Admits one if it can. */
  takeTurn: (now: number) => void
}

export class LoopTurns {
  readonly #now: () => number
  readonly #soon: (callback: () => void) => void
  /** In the order in which they are next. */
  readonly #takers = new Set<TurnTaker>()
  /** When this turn began; undefined while the loop has caught up. */
  #began: number | undefined = undefined
  #caughtUp = -Infinity
  /** Since when newcomers wait. */
  #behind: number | undefined = undefined
  /** Since when turns have been too long, without an iteration that brought nobody. */
  #crowded = 0
  /** When an iteration was looked at last, and the time before. */
  #looked = 0
  #lookedBefore = 0
  /** Somebody came in this iteration. */
  #arrived = false
  /** When the last handing out began and ended. */
  #handing: number | undefined = undefined
  #handed = 0

  /** `soon` calls back when the present iteration's intake is over, in order, as setImmediate does. */
  constructor (now: () => number, soon: (callback: () => void) => void = setImmediate) {
    this.#now = now
    this.#soon = soon
  }

  /** A newcomer: true when the loop may run it at once. */
  arrive (now: number): boolean {
    this.#arrived = true
    if (this.#began === undefined) {
      if (now - this.#caughtUp < REST_MS) return true
      this.#began = this.#looked = this.#lookedBefore = now
      this.#crowded = Infinity
      this.#soon(this.#look)
    }
    return this.open(now)
  }

  /** The loop may run somebody who has waited for another permit. */
  open (now: number): boolean {
    if (this.#behind !== undefined) return false
    if (this.#began === undefined || now - this.#began <= TURN_MS) return true
    this.#behind = this.#handed = now
    this.#crowded = Math.min(this.#crowded, now)
    return false
  }

  /** Behind for so long that it is no burst: somebody waited all the while, or, where rooms are too small for that, this iteration is long as well. */
  standing (now: number): boolean {
    if (this.#behind === undefined) return false
    return now - this.#behind > STANDING_MS || (now - this.#crowded > STANDING_MS && now - this.#looked > LATE_MS)
  }

  /**
   * Milliseconds at most for which the end of something that `started` then may have waited for the loop to hear of it: since the
   * intake of the last iteration, which did not have it. Of one that started in this iteration it is known to the moment.
   */
  lag (started: number, now: number): number {
    return this.#began === undefined || started >= this.#looked ? 0 : now - this.#lookedBefore
  }

  /** `taker` has somebody who waits for the loop. */
  wait (taker: TurnTaker): void {
    this.#takers.add(taker)
  }

  /** Once an iteration, behind its intake and what was handed out. */
  readonly #look = (): void => {
    const now = this.#now()
    const drained = !this.#arrived
    this.#arrived = false
    const iteration = now - this.#looked
    this.#lookedBefore = this.#looked
    this.#looked = now
    if (this.#handing !== undefined) {
      this.#handing = undefined
      this.#handed = now
    }
    const ready = this.#ready(now)
    if (ready === 0) {
      const caughtUp = drained || (this.#behind === undefined && iteration < SHORT_MS)
      this.#behind = undefined
      if (caughtUp) {
        this.#began = undefined
        this.#caughtUp = now
        return
      }
      if (this.#handed > this.#began!) this.#began = now
    } else if (drained || (now - this.#crowded > STANDING_MS && now - this.#handed >= INTAKE_MS)) {
      for (let one = 0; one < Math.min(ready, BATCH); one++) this.#soon(this.#handOut)
    }
    this.#soon(this.#look)
  }

  #ready (now: number): number {
    let ready = 0
    for (const taker of this.#takers) {
      const more = taker.ready(now)
      if (more === 0) this.#takers.delete(taker)
      else ready += more
    }
    return ready
  }

  readonly #handOut = (): void => {
    const now = this.#now()
    this.#handing ??= now
    if (now - this.#handing > TURN_MS) return
    for (const taker of this.#takers) {
      // To the end of the line.
      this.#takers.delete(taker)
      if (taker.ready(now) === 0) continue
      this.#takers.add(taker)
      taker.takeTurn(now)
      return
    }
  }
}
