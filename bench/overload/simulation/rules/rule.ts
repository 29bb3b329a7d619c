// What may set the limit of the simulated gate, and the limit that somebody chose.
import type { Ending } from '../../../../plugins/shared/gate/limit.ts'

export interface Rule {
  readonly current: number
  ended: (service: number, began: number, inflight: number, queued: number, now: number, route: number, ending: Ending) => void
}

export class Static implements Rule {
  readonly current: number

  constructor (limit: number) {
    this.current = limit
  }

  ended (): void {}
}
