// Which limit to choose, from what a server did at each: the smallest that gives nearly all there is to have. Past it, a larger
// limit only moves the wait from the gate, where it has a bound, into the server and what is behind it.
//
//   power       = good replies a second / P99            (L. Kleinrock, "Power and deterministic rules of thumb", 1979)
//   inflection  = the limit of most power: where latency begins to rise faster than throughput
//   recommended = the smallest limit with 98 % of the best throughput

export interface Point {
  limit: number
  /** Good replies a second. */
  good: number
  /** Milliseconds; NaN without a good reply. */
  p99: number
}

const NEARLY_ALL = 0.98
/** Difference of P99s that means nothing. */
const ALIKE = 0.05

export interface Advice {
  /** undefined where no limit had a good reply. */
  inflection: number | undefined
  recommended: number | undefined
  /** What the sweep does not show. */
  remarks: string[]
}

/** @param points ascending by limit; @param offered requests that were due, a second */
export function advise (points: readonly Point[], offered: number): Advice {
  const best = Math.max(...points.map(({ good }) => good))
  if (best === 0) return { inflection: undefined, recommended: undefined, remarks: ['No limit had a good reply: is --timeout long enough?'] }
  const chosen = points.find(({ good }) => good >= NEARLY_ALL * best)!
  const strongest = points.reduce((most, point) => power(point) > power(most) ? point : most)
  const remarks: string[] = []
  if (best >= NEARLY_ALL * offered) remarks.push('All that was offered was served: raise --rate past what the server can do, or any limit looks good.')
  else if (points.length > 1 && points.every(({ good, p99 }) => good >= NEARLY_ALL * best && Math.abs(p99 / chosen.p99 - 1) < ALIKE)) remarks.push('All limits did alike: is it SURGE_LIMIT that sets the gate of this route?')
  else if (points.length > 1 && chosen === points.at(-1)) remarks.push('The largest limit did best: try larger ones.')
  else if (points.length > 1 && chosen === points[0]) remarks.push('The smallest limit did as well as any: try smaller ones.')
  return { inflection: strongest.limit, recommended: chosen.limit, remarks }
}

function power ({ good, p99 }: Point): number {
  return Number.isNaN(p99) ? 0 : good / p99
}
