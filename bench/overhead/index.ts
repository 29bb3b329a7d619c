// What a request pays for the suite: whole-process CPU time a hello-world request, bursts of all variants in turn, in new
// processes again and again, each compared with bare Fastify's of the same time. Ratios only: a burst's absolute figure belongs to the machine.
//
//   npm run bench:overhead [-- --quick]
import { alternateProcesses } from '../support/alternating.ts'
import { get } from '../support/request.ts'
import { median, middleHalf } from '../../cli/statistics.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')
const PROCESSES = quick ? 3 : 7
const ROUNDS = 5
const REQUESTS = 2_000
const CONNECTIONS = 20
const BARE = 'bare Fastify'
const FOUR = 'the official four, wired by hand'

const contenders = await alternateProcesses({
  server: new URL('server.ts', import.meta.url),
  variants: Object.keys(variants),
  request: get('/', 'Accept-Encoding: gzip, deflate, br\r\n'),
  connections: CONNECTIONS,
  warmUp: 8_000,
  rounds: ROUNDS,
  requests: REQUESTS
}, PROCESSES)
const named = (name: string) => contenders.find(contender => contender.name === name)!
const bare = named(BARE)
const four = named(FOUR)

console.log('| CPU a request | to bare Fastify | middle half | to the official four |')
console.log('|---|---|---|---|')
for (const contender of contenders) {
  const toBare = contender.to(bare)
  console.log(`| ${contender.name} | ${median(toBare).toFixed(2)} | ${middleHalf(toBare)} | ${median(contender.to(four)).toFixed(2)} |`)
}
console.log(`\nMedians of ${PROCESSES} processes, ${ROUNDS} bursts of ${REQUESTS} requests over ${CONNECTIONS} connections in each. Node ${process.version}. Bare Fastify: ${bare.median.toFixed(1)} µs.`)
