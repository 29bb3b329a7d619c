// The gate reduced to what bears on the limit: its waiting room and its judgement of a standing queue are the real ones,
// shares, tokens and priorities are left out.
import { Congestion } from '../../../plugins/shared/gate/congestion.ts'
import { Waiter } from '../../../plugins/shared/gate/waiter.ts'
import { WaitingRoom } from '../../../plugins/shared/gate/waiting-room.ts'
import type { Events } from './engine.ts'
import type { Rule } from './rules/rule.ts'

export class Claim extends Waiter {
  readonly route: number
  /** How many ran when it began, itself included. */
  inflight = 0
  readonly #begin: () => void

  constructor (route: number, begin: () => void) {
    super(1)
    this.route = route
    this.#begin = begin
  }

  override admitted (): void {
    this.#begin()
  }

  override shed (): void {}
}

const MAX_WAIT = 500
const MAX_QUEUE = 1000
const SHORTEST_TARGET = 20
const SERVICE_WEIGHT = 1 / 16

export class ModelGate {
  shed = 0
  readonly #rule: Rule
  readonly #events: Events
  readonly #room = new WaitingRoom()
  readonly #congestion = new Congestion()
  #inflight = 0
  #service = 0

  constructor (rule: Rule, events: Events) {
    this.#rule = rule
    this.#events = events
    this.#tick()
  }

  enter (claim: Claim): void {
    if (this.#room.size === 0 && this.#inflight < this.#rule.current) this.#run(claim, 0)
    else if (this.#room.size >= MAX_QUEUE) this.shed++
    else this.#room.join(claim, this.#events.now)
  }

  /** The client has left; its handler goes on. */
  gone (claim: Claim): void {
    if (claim.state === 'WAIT') {
      this.#room.leave(claim)
      claim.state = 'GONE'
    } else if (claim.state === 'RUN') claim.state = 'ORPHAN'
  }

  leave (claim: Claim): void {
    const now = this.#events.now
    const service = now - claim.since
    const orphan = claim.state === 'ORPHAN'
    if (!orphan) this.#service += (service - this.#service) * SERVICE_WEIGHT
    this.#rule.ended(service, claim.inflight, this.#inflight, this.#room.size, now, claim.route, orphan ? 'orphaned' : 'served')
    claim.state = 'DONE'
    this.#inflight--
    this.#grant()
  }

  #run (claim: Claim, standing: number): void {
    claim.since = this.#events.now
    claim.state = 'RUN'
    claim.inflight = ++this.#inflight
    this.#congestion.admitted(standing, this.#target, this.#events.now)
    claim.admitted()
  }

  #grant (): void {
    while (this.#room.size > 0 && this.#inflight < this.#rule.current) {
      const standing = this.#events.now - this.#room.oldest
      this.#run(this.#room.next(this.#congestion.congested) as Claim, standing)
    }
  }

  get #target (): number {
    return Math.max(SHORTEST_TARGET, this.#service)
  }

  /** The real gate sets its one timer to the moment; for the figures each 5 ms is as good. */
  #tick (): void {
    const longest = this.#congestion.congested ? Math.min(MAX_WAIT, 2 * this.#target) : MAX_WAIT
    for (;;) {
      const claim = this.#room.expired(this.#events.now - longest)
      if (claim === undefined) break
      claim.state = 'SHED'
      this.shed++
    }
    this.#grant()
    this.#events.after(5, () => this.#tick())
  }
}
