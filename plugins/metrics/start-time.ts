// When a proxy took a request, by its X-Request-Start header: what passed since then is the wait that this process
// cannot see by itself, because a blocked event loop reads its clock late as well.

/** A start longer ago or further ahead than this is a wrong clock or a wrong unit. */
const LONGEST_MS = 60_000

/**
 * Milliseconds since `header`, by the wall clock `now`, at most a minute; 0 for a start that lies ahead by less, which is a clock
 * that is off, and undefined for what is no time. nginx writes `t=1700000000.123`, Heroku milliseconds, HAProxy microseconds.
 */
export function delaySince (header: string | string[] | undefined, now: number): number | undefined {
  if (typeof header !== 'string') return undefined
  const text = header.startsWith('t=') ? header.slice(2) : header
  if (!/^\d{9,20}(?:\.\d+)?$/.test(text)) return undefined
  const delay = now - milliseconds(Number(text))
  if (delay < -LONGEST_MS) return undefined
  return Math.min(Math.max(0, delay), LONGEST_MS)
}

/** By magnitude: 10¹¹ s are the year 5138, 10¹¹ ms are 1973. */
function milliseconds (value: number): number {
  if (value < 1e11) return value * 1_000
  if (value < 1e14) return value
  if (value < 1e17) return value / 1_000
  return value / 1e6
}
