/** What two sides cost, in pairs: each side goes first in every other one. */
export async function inPairs<Side> (sides: readonly [Side, Side], pairs: number, cost: (side: Side, pair: number) => Promise<number>): Promise<[number[], number[]]> {
  const costs: [number[], number[]] = [[], []]
  for (let pair = 0; pair < pairs; pair++) {
    for (const at of pair % 2 === 0 ? [0, 1] as const : [1, 0] as const) costs[at].push(await cost(sides[at], pair))
  }
  return costs
}
