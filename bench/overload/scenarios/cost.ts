// What the gate costs when nothing is short: CPU a hello-world request, with it and without, in alternating bursts.
import { quartiles } from '../../support/statistics.ts'
import { progress } from '../../support/progress.ts'
import { Contender } from '../contest.ts'
import { middle, number, table, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'

const VARIANTS: VariantName[] = ['no gate', 'defaults']

export async function halfLoadCost ({ quick }: Setting): Promise<Findings> {
  const rounds = quick ? 7 : 25
  const burst = { path: '/hello', requests: quick ? 2000 : 4000, connections: 20 }
  const contenders: Array<{ server: Contender, port: number, costs: number[] }> = []
  for (const variant of VARIANTS) {
    const server = await Contender.start('hello', variant)
    const opened = await server.open({})
    if (opened.unknown !== undefined) throw new Error(opened.unknown)
    for (let i = 0; i < 4; i++) await server.warmUp(opened.port)
    contenders.push({ server, port: opened.port, costs: [] })
  }
  const show = progress(rounds, 'half-load cost')
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const { server, port, costs } = contenders[(round + turn) % contenders.length]!
      costs.push(await server.cost(port, burst))
    }
    show(round + 1)
  }
  for (const { server } of contenders) server.end()
  const [without, gated] = contenders as [typeof contenders[0], typeof contenders[0]]
  const ratios = gated.costs.map((cost, round) => cost / without.costs[round]!)
  const [low, high] = quartiles(ratios)
  return {
    tables: [table(['CPU a request', 'µs', 'to the suite without its gate', 'middle half'], [
      [titles['no gate'], number(middle(without.costs), 1), '1.00', ''],
      [titles.defaults, number(middle(gated.costs), 1), number(middle(ratios), 3), `${number(low, 3)}–${number(high, 3)}`]
    ])],
    verdicts: []
  }
}
