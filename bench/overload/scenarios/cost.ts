// What the gate costs: CPU a hello-world request with it and without, and of a refusal beside a reply of bare Fastify, in
// bursts in turn. At half load, what the gate adds is measured on two routes of one process: between two processes a request
// over sockets differs by more than that.
import { progress } from '../../../cli/progress.ts'
import { get } from '../../support/request.ts'
import { middleHalf } from '../../../cli/statistics.ts'
import { Contender, type Generator } from '../contest.ts'
import { middle, number, percent, table, verdict, type Findings, type Setting } from '../scenario.ts'
import { titles, type VariantName } from '../variants.ts'

interface Side { title: string, variant: VariantName, refuses: boolean, /** Microseconds a request, one reading a process. */ costs: number[] }
interface Running { side: Side, server: Contender, port: number, bursts: number[] }

const BURSTS = 5
const REQUESTS = 2000
/** Of half load: short, since a neighbour's noise is longer, and without a break, behind which a server has to catch up first. */
const STRETCH_MS = 100
const STRETCHES = 160

async function start (side: Side): Promise<Running> {
  const server = await Contender.start('hello', side.variant)
  const opened = await server.open({})
  if (opened.unknown !== undefined) throw new Error(opened.unknown)
  for (let i = 0; i < 2; i++) await server.warmUp(opened.port)
  if (side.refuses) {
    await server.ask('refuse')
    for (let i = 0; i < 2; i++) await server.warmUp(opened.port)
  }
  return { side, server, port: opened.port, bursts: [] }
}

/** Microseconds a request that comes when it is due, on either path, in stretches that take turns. */
async function paced ({ server, port }: Running, paths: readonly [string, string], perSecond: number, generator: Generator): Promise<[number[], number[]]> {
  await server.ask('watchPaths')
  const streams = paths.map((path, side) => ({
    request: get(path),
    arrivals: Array.from({ length: STRETCHES }, (_, at) => ({ perSecond: at % 2 === side ? perSecond : 0, ms: STRETCH_MS })),
    timeout: 500
  }))
  await generator.run({ port, seed: 1, connections: 20, streams })
  // Where one stretch passes into the next, requests overtake each other.
  const whole = (await server.ask('stretches')).filter(({ requests, cpu }) => requests > perSecond * STRETCH_MS / 1000 / 2 && cpu > 0)
  const costs: [number[], number[]] = [[], []]
  for (let at = 1; at < whole.length; at += 2) {
    const pair = [whole[at - 1]!, whole[at]!]
    if (pair[0]!.path === pair[1]!.path) continue
    for (const { path, cpu, requests } of pair) costs[paths.indexOf(path)]!.push(cpu / requests)
  }
  return costs
}

interface HalfLoad {
  /** Requests a second. */
  perSecond: number
  /** Microseconds a request without the gate, and what it adds; over sockets. */
  ungated: number
  added: number
  /** The same over connections in memory. */
  ungatedInMemory: number
  addedInMemory: number
}

/** On two routes of one process, in pairs. */
async function halfLoad (generator: Generator): Promise<HalfLoad> {
  const running = await start({ title: '', variant: 'defaults', refuses: false, costs: [] })
  const full = await running.server.cost(running.port, { path: '/ungated', requests: BURSTS * REQUESTS, connections: 20 })
  const perSecond = 1e6 / full / 2
  const [gated, ungated] = await paced(running, ['/hello', '/ungated'], perSecond, generator)
  const inMemory = await running.server.ask('gatePairs')
  running.server.end()
  const added = (costs: number[], without: number[]): number => middle(costs.map((cost, at) => cost - without[at]!))
  return {
    perSecond,
    ungated: middle(ungated),
    added: added(gated, ungated),
    ungatedInMemory: middle(inMemory.ungated),
    addedInMemory: added(inMemory.gated, inMemory.ungated)
  }
}

async function atFullLoad ({ side, server, port }: Running): Promise<number> {
  return await server.cost(port, { path: '/hello', requests: REQUESTS, connections: 20, status: side.refuses ? 503 : 200 })
}

/** In new processes again and again: what V8 makes of the same code differs between two by more than a gate costs. */
async function measure (sides: Side[], turn: number): Promise<void> {
  const running: Running[] = []
  for (const side of sides) running.push(await start(side))
  for (let burst = 0; burst < BURSTS; burst++) {
    for (let i = 0; i < running.length; i++) {
      const one = running[(turn + burst + i) % running.length]!
      one.bursts.push(await atFullLoad(one))
    }
  }
  for (const { side, server, bursts } of running) {
    side.costs.push(middle(bursts))
    server.end()
  }
}

export async function cost ({ quick, generator }: Setting): Promise<Findings> {
  const processes = quick ? 3 : 7
  const side = (title: string, variant: VariantName, refuses = false): Side => ({ title, variant, refuses, costs: [] })
  const bare = side(titles.bare, 'bare')
  const ungated = side(titles['no gate'], 'no gate')
  const gated = side(titles.defaults, 'defaults')
  const refusing = side('a refusal of fastify-surge, defaults only', 'defaults', true)
  const alone = side(titles['gate alone'], 'gate alone')
  const refusingAlone = side(`a refusal of ${titles['gate alone']}`, 'gate alone', true)
  const sides = [bare, ungated, gated, refusing, alone, refusingAlone]
  const halves: HalfLoad[] = []
  const show = progress(processes, 'cost')
  for (let turn = 0; turn < processes; turn++) {
    await measure(sides, turn)
    halves.push(await halfLoad(generator))
    show(turn + 1)
  }

  function ratios (one: Side, other: Side): number[] {
    return one.costs.map((cost, at) => cost / other.costs[at]!)
  }

  const half = (key: keyof HalfLoad): number => middle(halves.map(reading => reading[key]))
  const gate = middle(ratios(gated, ungated))
  const gateAtHalf = half('added') / half('ungated')
  const refusal = middle(ratios(refusing, bare))
  const instead = middle(ratios(refusing, gated))
  return {
    tables: [
      table(['CPU a hello-world request', 'µs', 'to bare Fastify', 'middle half'], sides.map(side => [
        side.title, number(middle(side.costs), 1), number(middle(ratios(side, bare)), 2), middleHalf(ratios(side, bare))
      ])),
      `At half load, ${number(half('perSecond'))} requests a second, beside a route without a gate: ${number(half('added'), 2)} µs more than ${number(half('ungated'), 1)} (${middleHalf(halves.map(({ added }) => added))} by process); over connections in memory ${number(half('addedInMemory'), 2)} µs more than ${number(half('ungatedInMemory'), 1)}.`
    ],
    verdicts: [
      verdict('a refusal ≤ 1.05 of the hello-world that it is given instead of', number(instead, 2), [instead], ratio => ratio <= 1.05),
      verdict('a refusal ≤ 1.05 of a hello-world of bare Fastify', number(refusal, 2), [refusal], ratio => ratio <= 1.05),
      verdict('what the gate adds at half load ≤ 3 % of a request', percent(gateAtHalf), [gateAtHalf], share => share <= 0.03),
      verdict('a full core: ≤ 1.03 of the suite without it', number(gate, 3), [gate], ratio => ratio <= 1.03)
    ]
  }
}
