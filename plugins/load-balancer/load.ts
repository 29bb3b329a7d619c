// How busy the server is and how much it answers, as averages of the last second or so. It prevents a figure that jumps, by
// which a balancer would send everything to one server and then everything to the other.
//
//   utilization = max(in flight / limit, share of the time that the event loop was busy)
//   average    += (value − average) × (1 − e^(−Δt / τ)),   τ = 1 s

/** Of one moment. */
export interface Sample {
  /** Claims that run, of all gates, */
  inflight: number
  /** and how many may; 0 where there are no gates. */
  limit: number
  /** Share of the time since the last sample that the event loop was busy, 0 to 1. */
  loop: number
}

const AVERAGE_MS = 1_000

export class Load {
  /** 0 to 1. */
  utilization = 0
  /** Replies a second. */
  rate = 0
  /** Of those, the ones that failed: 500 and above, refusals included. */
  errors = 0
  #last: number
  #replies = 0
  #failures = 0

  constructor (now: number) {
    this.#last = now
  }

  /** A reply is over. */
  replied (status: number): void {
    this.#replies++
    if (status >= 500) this.#failures++
  }

  /** @param now the clock's milliseconds */
  sample ({ inflight, limit, loop }: Sample, now: number): void {
    const elapsed = now - this.#last
    if (elapsed <= 0) return
    this.#last = now
    const share = 1 - Math.exp(-elapsed / AVERAGE_MS)
    const utilization = Math.min(1, Math.max(limit === 0 ? 0 : inflight / limit, loop))
    this.utilization += (utilization - this.utilization) * share
    this.rate += (this.#replies / elapsed * 1_000 - this.rate) * share
    this.errors += (this.#failures / elapsed * 1_000 - this.errors) * share
    this.#replies = this.#failures = 0
  }
}

/**
 * The value of the header `endpoint-load-metrics`: an OrcaLoadReport (xds.data.orca.v3) as JSON. Envoy drops a report with a
 * field that it does not know, and weighs an endpoint by rps_fractional / (application_utilization + a penalty for eps).
 */
export function orcaReport ({ utilization, rate, errors }: Load): string {
  return `JSON ${JSON.stringify({ application_utilization: rounded(utilization), rps_fractional: rounded(rate), eps: rounded(errors) })}`
}

function rounded (value: number): number {
  return Math.round(value * 1_000) / 1_000
}
