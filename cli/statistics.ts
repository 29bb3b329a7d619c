// Medians, because one burst in ten meets a noisy neighbour.

export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The middle half: [first quartile, third quartile]. */
export function quartiles (values: readonly number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b)
  return [sorted[Math.floor((sorted.length - 1) / 4)]!, sorted[Math.ceil((sorted.length - 1) * 3 / 4)]!]
}

/** The middle half as tables give it: '0.98–1.04'. */
export function middleHalf (values: readonly number[]): string {
  return quartiles(values).map(value => value.toFixed(2)).join('–')
}

/** The smallest value that `share` of the ascending values do not pass; NaN of none. */
export function percentile (ascending: ArrayLike<number>, share: number): number {
  return ascending.length === 0 ? NaN : ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)]!
}
