// Whether a server refuses so large a share of its requests that others had better get them. With hysteresis, because a
// server out of rotation refuses nothing: without, it would go in and out with every check.
//
//   share     = refused / all, over this window of 5 s and the one before
//   saturated from  share ≥ limit  until  share < limit / 2
import type { Clock } from '../shared/clock.ts'

const WINDOW_MS = 5_000
/** Of fewer requests a share says nothing. */
const TELLING = 20

export class Saturation {
  readonly #limit: number
  readonly #clock: Clock
  #window = 0
  #now = { all: 0, refused: 0 }
  #before = { all: 0, refused: 0 }
  #saturated = false

  constructor (limit: number, clock: Clock) {
    this.#limit = limit
    this.#clock = clock
  }

  record (refused: boolean): void {
    this.#turn()
    this.#now.all++
    if (refused) this.#now.refused++
  }

  get saturated (): boolean {
    this.#turn()
    const all = this.#now.all + this.#before.all
    const share = all < TELLING ? 0 : (this.#now.refused + this.#before.refused) / all
    this.#saturated = share >= (this.#saturated ? this.#limit / 2 : this.#limit)
    return this.#saturated
  }

  #turn (): void {
    const window = Math.floor(this.#clock.now() / WINDOW_MS)
    if (window === this.#window) return
    this.#before = window === this.#window + 1 ? this.#now : { all: 0, refused: 0 }
    this.#now = { all: 0, refused: 0 }
    this.#window = window
  }
}
