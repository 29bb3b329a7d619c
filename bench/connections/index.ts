// What 5,000 idle keep-alive connections cost with every limit on: memory a connection, CPU time while nothing happens, and
// one pass of the sweep that looks at them all. Each variant is a process of its own, compared with bare Fastify of the
// same round.
//
//   npm run bench:connections [-- --quick]
import { forkPinned, type Child } from '../support/pinned.ts'
import { progress } from '../../cli/progress.ts'
import { median, middleHalf } from '../../cli/statistics.ts'
import { defaults } from '../../plugins/server-defaults/options.ts'
import { timeSweep } from './sweep.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')
const CONNECTIONS = 5_000
const ROUNDS = quick ? 2 : 5
/** As long as an interval of the sweep, so that there is one pass in each. */
const WINDOW_SECONDS = defaults.checkInterval / 1_000
const WINDOWS = quick ? 2 : 6
const WARM_UPS = 50
const PASSES = quick ? 200 : 1_000
const WANTED = { memory: 1.1, cpu: 1 }

const names = Object.keys(variants)

interface Held { server: Child, client: Child, port: number }
interface Measured { rss: number, heapUsed: number }

async function start (name: string): Promise<Held> {
  const server = await forkPinned(new URL('server.ts', import.meta.url), [name], 0)
  const client = await forkPinned(new URL('client.ts', import.meta.url), [], 1)
  return { server, client, port: await server.ask('port') }
}

function end ({ server, client }: Held): void {
  client.end()
  server.end()
}

/** Bytes a connection, behind a hundred others at a time that came and went: compiled code and the room for young objects are not what is asked about. */
async function memoryOf (name: string): Promise<Measured> {
  const held = await start(name)
  const { server, client, port } = held
  try {
    for (let i = 0; i < WARM_UPS; i++) {
      await client.ask({ port, count: 100 })
      await client.ask({ port, count: 0 })
      await server.ask('empty')
    }
    const before: Measured = await server.ask('memory')
    const open: number = await client.ask({ port, count: CONNECTIONS })
    if (open !== CONNECTIONS) throw new Error(`${name}: ${open} of ${CONNECTIONS} connections are open`)
    const after: Measured = await server.ask('memory')
    return { rss: (after.rss - before.rss) / CONNECTIONS, heapUsed: (after.heapUsed - before.heapUsed) / CONNECTIONS }
  } finally {
    end(held)
  }
}

/** Percent of a core, of all of them over the same seconds: what else the machine does meanwhile it does to each. Medians, since V8 may collect garbage in one. */
async function idle (): Promise<number[]> {
  const holders: Held[] = []
  try {
    for (const name of names) {
      const held = await start(name)
      holders.push(held)
      await held.client.ask({ port: held.port, count: CONNECTIONS })
    }
    // What the last requests left to collect and to compile.
    for (const { server } of holders) await server.ask('memory')
    await new Promise(resolve => setTimeout(resolve, 3_000))
    const used: number[][] = names.map(() => [])
    const windows = progress(WINDOWS, 'idle')
    let before = await Promise.all(holders.map(({ server }) => server.ask('cpu')))
    for (let window = 1; window <= WINDOWS; window++) {
      await new Promise(resolve => setTimeout(resolve, WINDOW_SECONDS * 1_000))
      const after = await Promise.all(holders.map(({ server }) => server.ask('cpu')))
      for (const [i, values] of used.entries()) values.push((after[i] - before[i]) / (WINDOW_SECONDS * 1e6) * 100)
      before = after
      windows(window)
    }
    for (const [i, { client, port }] of holders.entries()) {
      const open: number = await client.ask({ port, count: -1 })
      if (open !== CONNECTIONS) throw new Error(`${names[i]}: ${open} of ${CONNECTIONS} connections are left`)
    }
    return used.map(median)
  } finally {
    for (const held of holders) end(held)
  }
}

const rounds = progress(ROUNDS * names.length, 'memory')
const memory: Record<string, Measured[]> = Object.fromEntries(names.map(name => [name, []]))
for (let round = 0; round < ROUNDS; round++) {
  // Turned by one each round, so that nobody always runs behind the same neighbour.
  for (let i = 0; i < names.length; i++) {
    const name = names[(round + i) % names.length]!
    memory[name]!.push(await memoryOf(name))
    rounds(round * names.length + i + 1)
  }
}
const cpu = await idle()
const sweep = await timeSweep(CONNECTIONS, PASSES)
const sweepPercent = sweep / defaults.checkInterval * 100

function ratios (name: string, what: keyof Measured): number[] {
  return memory[name]!.map((value, round) => value[what] / memory[names[0]!]![round]![what])
}

function shown (name: string, what: keyof Measured): string {
  const values = ratios(name, what)
  return `${median(values).toFixed(2)} (${middleHalf(values)})`
}

console.log(`| ${CONNECTIONS} idle connections | heap a connection, to bare Fastify | RSS a connection | CPU while idle, % of a core |`)
console.log('|---|---|---|---|')
for (const [i, name] of names.entries()) console.log(`| ${name} | ${shown(name, 'heapUsed')} | ${shown(name, 'rss')} | ${cpu[i]!.toFixed(2)} |`)
const bare = (what: keyof Measured): string => (median(memory[names[0]!]!.map(value => value[what])) / 1024).toFixed(1)
console.log(`\nMedians of ${ROUNDS} rounds, middle halves in brackets; ${WINDOWS * WINDOW_SECONDS} s idle. Node ${process.version}. Bare Fastify: ${bare('heapUsed')} KB of heap, ${bare('rss')} KB of RSS a connection.\n`)

console.log('| with every limit on | wanted | measured | |')
console.log('|---|---|---|---|')
const guarded = names[2]!
row('CPU of the sweep: one pass', `≤ ${WANTED.cpu} % of a core`, `${sweepPercent.toFixed(3)} % (${sweep.toFixed(2)} ms of ${defaults.checkInterval} ms)`, sweepPercent <= WANTED.cpu)
row('CPU while idle, beyond bare Fastify\'s', `≤ ${WANTED.cpu} % of a core`, `${(cpu[2]! - cpu[0]!).toFixed(2)} %`, cpu[2]! - cpu[0]! <= WANTED.cpu)
row('heap a connection', `≤ ${WANTED.memory} of bare Fastify's`, median(ratios(guarded, 'heapUsed')).toFixed(2), median(ratios(guarded, 'heapUsed')) <= WANTED.memory)
row('RSS a connection', `≤ ${WANTED.memory} of bare Fastify's`, median(ratios(guarded, 'rss')).toFixed(2), median(ratios(guarded, 'rss')) <= WANTED.memory)

function row (what: string, wanted: string, measured: string, met: boolean): void {
  console.log(`| ${what} | ${wanted} | ${measured} | ${met ? 'met' : 'not met'} |`)
}
