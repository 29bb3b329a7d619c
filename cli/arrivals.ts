// When requests are due: Poisson arrivals from a seed, so that every variant meets the same traffic.

export interface Phase {
  /** Mean rate; 0 is a pause. */
  perSecond: number
  /** Milliseconds. */
  ms: number
}

export interface Arrivals {
  /** Milliseconds since the start, ascending. */
  at: Float64Array
  /** Which of the schedules each belongs to. */
  stream: Uint8Array
}

/** Mulberry32: a small generator of numbers in [0, 1), good enough for arrival gaps. */
export function seeded (seed: number): () => number {
  let state = seed >>> 0
  return function random () {
    state = state + 0x6D2B79F5 >>> 0
    let mixed = Math.imul(state ^ state >>> 15, state | 1)
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
}

/** One schedule: gaps are exponential with mean 1/rate, drawn anew at each phase's start. */
export function poisson (phases: readonly Phase[], random: () => number): number[] {
  const at: number[] = []
  let start = 0
  for (const { perSecond, ms } of phases) {
    const end = start + ms
    const mean = 1000 / perSecond
    for (let due = start - mean * Math.log(1 - random()); due < end; due -= mean * Math.log(1 - random())) at.push(due)
    start = end
  }
  return at
}

/** All schedules in one, in order of time. */
export function merge (schedules: readonly number[][]): Arrivals {
  const all = schedules.flatMap((schedule, stream) => schedule.map(at => [at, stream] as const)).sort((a, b) => a[0] - b[0])
  return { at: Float64Array.from(all, ([at]) => at), stream: Uint8Array.from(all, ([, stream]) => stream) }
}
