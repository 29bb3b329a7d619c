// What a request pays for the suite: whole-process CPU time a hello-world request, bursts of all variants in turn, each
// compared with bare Fastify in the same round. Ratios only: a burst's absolute figure belongs to the machine.
//
//   npm run bench:overhead [-- --quick]
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { ClosedLoop } from '../support/closed-loop.ts'
import { progress } from '../support/progress.ts'
import { median, quartiles } from '../support/statistics.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')
const ROUNDS = quick ? 5 : 15
const REQUESTS = quick ? 2_000 : 3_000
const WARM_UP = 12_000
const CONNECTIONS = 20
const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n'
const BARE = 'bare Fastify'
const FOUR = 'the official four, wired by hand'

interface Contender { name: string, child: ChildProcess, load: ClosedLoop, perRequest: number[] }

async function start (name: string): Promise<Contender> {
  const child = fork(new URL('server.ts', import.meta.url), [name], { execArgv: ['--import', 'tsx'] })
  const [port] = await once(child, 'message')
  return { name, child, load: await ClosedLoop.connect(port, CONNECTIONS, REQUEST), perRequest: [] }
}

async function cpu (child: ChildProcess): Promise<number> {
  child.send('cpu')
  return (await once(child, 'message'))[0]
}

/** Microseconds of CPU a request. */
async function burst ({ child, load }: Contender, requests: number): Promise<number> {
  const before = await cpu(child)
  await load.burst(requests)
  return (await cpu(child) - before) / requests
}

const contenders: Contender[] = []
const warm = progress(Object.keys(variants).length, 'warming up')
for (const name of Object.keys(variants)) {
  const contender = await start(name)
  await burst(contender, WARM_UP)
  contenders.push(contender)
  warm(contenders.length)
}
const rounds = progress(ROUNDS, 'rounds')
for (let round = 0; round < ROUNDS; round++) {
  // Turned by one each round, so that nobody always runs behind the same neighbour.
  for (let i = 0; i < contenders.length; i++) {
    const contender = contenders[(round + i) % contenders.length]!
    contender.perRequest.push(await burst(contender, REQUESTS))
  }
  rounds(round + 1)
}

function ratios (contender: Contender, to: string): number[] {
  const base = contenders.find(({ name }) => name === to)!
  return contender.perRequest.map((value, round) => value / base.perRequest[round]!)
}

console.log('| CPU a request | to bare Fastify | middle half | to the official four |')
console.log('|---|---|---|---|')
for (const contender of contenders) {
  const bare = ratios(contender, BARE)
  const [low, high] = quartiles(bare)
  console.log(`| ${contender.name} | ${median(bare).toFixed(2)} | ${low.toFixed(2)}–${high.toFixed(2)} | ${median(ratios(contender, FOUR)).toFixed(2)} |`)
}
console.log(`\nMedians of ${ROUNDS} rounds of ${REQUESTS} requests over ${CONNECTIONS} connections. Node ${process.version}. Bare Fastify: ${median(contenders[0]!.perRequest).toFixed(1)} µs.`)
for (const { child, load } of contenders) {
  load.close()
  child.disconnect()
}
