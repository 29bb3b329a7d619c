// What the gate costs: CPU a hello-world request with it and without, and of a refusal beside a reply of bare Fastify, in
// alternating bursts.
import { quartiles } from '../../support/statistics.ts'
import { progress } from '../../support/progress.ts'
import { Contender } from '../contest.ts'
import { middle, number, table, verdict, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'

interface Side { title: string, server: Contender, port: number, status: number, costs: number[] }

async function side (title: string, variant: VariantName, refusing = false): Promise<Side> {
  const server = await Contender.start('hello', variant)
  const opened = await server.open({})
  if (opened.unknown !== undefined) throw new Error(opened.unknown)
  for (let i = 0; i < 4; i++) await server.warmUp(opened.port)
  if (refusing) {
    await server.ask('refuse')
    for (let i = 0; i < 4; i++) await server.warmUp(opened.port)
  }
  return { title, server, port: opened.port, status: refusing ? 503 : 200, costs: [] }
}

export async function cost ({ quick }: Setting): Promise<Findings> {
  const rounds = quick ? 7 : 21
  const requests = quick ? 2000 : 4000
  const bare = await side(titles.bare, 'bare')
  const ungated = await side(titles['no gate'], 'no gate')
  const gated = await side(titles.defaults, 'defaults')
  const refusing = await side('a refusal of fastify-surge, defaults only', 'defaults', true)
  const sides = [bare, ungated, gated, refusing]
  const show = progress(rounds, 'cost')
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      const { server, port, status, costs } = sides[(round + turn) % sides.length]!
      costs.push(await server.cost(port, { path: '/hello', requests, connections: 20, status }))
    }
    show(round + 1)
  }
  for (const { server } of sides) server.end()

  function ratios (one: Side, other: Side): number[] {
    return one.costs.map((cost, round) => cost / other.costs[round]!)
  }

  const gate = middle(ratios(gated, ungated))
  const refusal = middle(ratios(refusing, bare))
  return {
    tables: [table(['CPU a hello-world request', 'µs', 'to bare Fastify', 'middle half'], sides.map(side => [
      side.title, number(middle(side.costs), 1), number(middle(ratios(side, bare)), 2), quartiles(ratios(side, bare)).map(ratio => number(ratio, 2)).join('–')
    ]))],
    verdicts: [
      verdict('a refusal ≤ 1.05 of a hello-world of bare Fastify', number(refusal, 2), [refusal], ratio => ratio <= 1.05),
      verdict('the gate ≤ 1.03 of the suite without it', number(gate, 3), [gate], ratio => ratio <= 1.03)
    ]
  }
}
