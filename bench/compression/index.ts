// What a reply costs whose body comes back, or never does: CPU time a request of the whole process, zlib's threads
// included, against @fastify/etag and @fastify/compress wired by hand. Beside it, servers that do nothing else.
//
//   npm run bench:compression [-- --quick]
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { ClosedLoop } from '../support/closed-loop.ts'
import { progress } from '../../cli/progress.ts'
import { get } from '../support/request.ts'
import { median, quartiles } from '../../cli/statistics.ts'
import { neighbours } from './neighbours.ts'
import { names, SIZES, type Variant } from './variants.ts'

const ROUNDS = process.argv.includes('--quick') ? 5 : 13
const CONNECTIONS = 20
/** Requests a burst, by the size of the body: long enough for a p99 of the loop's delay. */
const REQUESTS: Record<number, number> = { 2: 4000, 20: 1500, 200: 300 }
/** Bursts before the first that counts. What V8 spends on compiling is CPU time too, and more than the rest for the first thousands. */
const WARM_UP = 4
/** nginx and Varnish count their CPU time in ticks, and are fast. */
const NEIGHBOUR_REQUESTS: Record<number, number> = { 2: 20_000, 20: 20_000, 200: 8_000 }

type Kind = 'repeated' | 'serialised' | 'unique'
interface Series { kind: Kind, size: number, variant: Variant, load: ClosedLoop, perRequest: number[], p99: number[] }

async function ask (child: ChildProcess): Promise<{ cpu: number, p99: number }> {
  child.send('cpu')
  return (await once(child, 'message'))[0]
}

async function burst ({ variant, load, size }: Series): Promise<{ cpu: number, p99: number }> {
  const before = await ask(children[variant])
  await load.burst(REQUESTS[size]!)
  const after = await ask(children[variant])
  return { cpu: (after.cpu - before.cpu) / REQUESTS[size]!, p99: after.p99 }
}

function connect (port: number, path: string): Promise<ClosedLoop> {
  return ClosedLoop.connect(port, CONNECTIONS, get(path, 'Accept-Encoding: gzip\r\n'))
}

const children = {} as Record<Variant, ChildProcess>
const ports = {} as Record<Variant, number>
for (const variant of Object.keys(names) as Variant[]) {
  children[variant] = fork(new URL('server.ts', import.meta.url), [variant], { execArgv: ['--import', 'tsx'] })
  ports[variant] = (await once(children[variant], 'message'))[0]
}

const groups: Series[][] = []
for (const kind of ['repeated', 'serialised', 'unique'] as const) {
  for (const size of SIZES) {
    const variants = kind === 'unique' ? ['hand-wired', 'surge'] as const : ['bare', 'ready', 'hand-wired', 'surge', 'version'] as const
    groups.push(await Promise.all(variants.map(async variant => ({ kind, size, variant, load: await connect(ports[variant], `/${kind}/${size}`), perRequest: [], p99: [] }))))
  }
}

const warm = progress(groups.flat().length, 'warming up')
for (const [index, series] of groups.flat().entries()) {
  for (let i = 0; i < WARM_UP; i++) await burst(series)
  warm(index + 1)
}
const show = progress(ROUNDS, 'rounds')
for (let round = 0; round < ROUNDS; round++) {
  for (const group of groups) {
    for (let i = 0; i < group.length; i++) {
      const series = group[(round + i) % group.length]!
      const { cpu, p99 } = await burst(series)
      series.perRequest.push(cpu)
      series.p99.push(p99)
    }
  }
  show(round + 1)
}

function of (kind: Kind, size: number, variant: Variant): Series {
  return groups.flat().find(series => series.kind === kind && series.size === size && series.variant === variant)!
}

/** Round by round, so that both sides met the same neighbours. */
function ratio (one: readonly number[], other: readonly number[]): string {
  const ratios = one.map((value, round) => value / other[round]!)
  const [low, high] = quartiles(ratios)
  return `${median(ratios).toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`
}

function row (label: string, cells: (size: number) => string): void {
  console.log(`| ${label} | ${SIZES.map(cells).join(' | ')} |`)
}

console.log(`\n| CPU a request (middle half) | ${SIZES.map(size => `${size} KB`).join(' | ')} |\n|---|${SIZES.map(() => '---').join('|')}|`)
for (const [kind, label] of [['repeated', 'a repeated body'], ['serialised', 'the same, serialised each time'], ['unique', 'unique bodies']] as const) {
  row(`${label}, to etag and compress`, size => ratio(of(kind, size, 'surge').perRequest, of(kind, size, 'hand-wired').perRequest))
  if (kind === 'unique') continue
  row('… the floor: Fastify sends the encoded bytes ready-made', size => ratio(of(kind, size, 'ready').perRequest, of(kind, size, 'hand-wired').perRequest))
  row(`${label}, by \`version\`, to etag and compress`, size => ratio(of(kind, size, 'version').perRequest, of(kind, size, 'hand-wired').perRequest))
  row(`${label}, by \`version\`, to bare Fastify`, size => ratio(of(kind, size, 'version').perRequest, of(kind, size, 'bare').perRequest))
}
console.log(`\n| p99 delay of the event loop, to etag and compress | ${SIZES.map(size => `${size} KB`).join(' | ')} |\n|---|${SIZES.map(() => '---').join('|')}|`)
for (const kind of ['repeated', 'serialised', 'unique'] as const) row(kind, size => ratio(of(kind, size, 'surge').p99, of(kind, size, 'hand-wired').p99))

console.log('\nFor the record, CPU a request of a repeated body in microseconds:')
for (const variant of Object.keys(names) as Variant[]) row(names[variant], size => median(of('repeated', size, variant).perRequest).toFixed(0))
for (const neighbour of await neighbours(ports.bare)) {
  const cells: Record<number, string> = {}
  for (const size of SIZES) {
    const load = await connect(neighbour.port, `/repeated/${size}`)
    await load.burst(200)
    const before = await neighbour.cpu()
    await load.burst(NEIGHBOUR_REQUESTS[size]!)
    cells[size] = ((await neighbour.cpu() - before) / NEIGHBOUR_REQUESTS[size]!).toFixed(0)
    load.close()
  }
  row(neighbour.name, size => cells[size]!)
  await neighbour.end()
}
console.log(`\nMedians of ${ROUNDS} rounds over ${CONNECTIONS} connections, gzip. Node ${process.version}.`)
for (const { load } of groups.flat()) load.close()
for (const child of Object.values(children)) child.disconnect()
