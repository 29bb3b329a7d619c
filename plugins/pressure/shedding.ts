// Decides from each sample who is shed until the next: the least important first, the critical last. Hysteresis prevents a
// process that hovers at a limit from letting everybody in and out with every sample.
//
//   level   0 nobody   1 priority 2   2 priority 1 too   3 everybody
//
//   past a limit                              level 2 at once, 3 if the sample before was past one as well
//   within `hysteresis` below, coming up      level 1
//   within `hysteresis` below, coming down    level 2 at most, 1 after 10 samples: memory that stays there
//                                             is in use, and would shed for ever
//   below that                                level 0
import { verdict, type Limits, type PressureType, type Sample } from './verdict.ts'

const HOLD_SAMPLES = 10

export class Shedding {
  /** What is to blame, while there is a level. */
  type: PressureType | undefined = undefined
  level = 0
  readonly #limits: Limits
  readonly #lower: Limits
  #held = 0

  /** `hysteresis` is a share of each limit, from 0 to below 1. */
  constructor (limits: Limits, hysteresis: number) {
    this.#limits = limits
    const lower = (limit: number | false): number | false => limit === false ? false : limit * (1 - hysteresis)
    this.#lower = {
      maxEventLoopDelay: lower(limits.maxEventLoopDelay),
      maxHeapUsedBytes: lower(limits.maxHeapUsedBytes),
      maxRssBytes: lower(limits.maxRssBytes),
      maxEventLoopUtilization: lower(limits.maxEventLoopUtilization)
    }
  }

  sampled (sample: Sample): void {
    const past = verdict(sample, true, this.#limits)
    if (past !== undefined) {
      this.type = past
      this.level = this.level < 2 ? 2 : 3
      this.#held = 0
      return
    }
    this.type = verdict(sample, true, this.#lower)
    if (this.type === undefined) {
      this.level = 0
    } else if (this.level < 2) {
      this.level = 1
    } else {
      this.level = ++this.#held < HOLD_SAMPLES ? 2 : 1
    }
  }

  sheds (priority: 0 | 1 | 2): boolean {
    return this.level + priority > 2
  }
}
