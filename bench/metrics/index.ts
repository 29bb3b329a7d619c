// What measuring costs: whole-process CPU time a hello-world request, bursts of all variants in turn, each compared with the
// same server unmeasured in the same round. Over connections in memory, where a microsecond shows, and over real sockets.
//
//   npm run bench:metrics [-- --quick | --code]
import { alternate, type Contender } from '../support/alternating.ts'
import { median, quartiles } from '../support/statistics.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')
const WANTED = 1.03

async function cpu (inMemory: boolean): Promise<void> {
  const rounds = quick ? 7 : inMemory ? 101 : 31
  const requests = quick || inMemory ? 2_000 : 4_000
  const contenders = await alternate({
    server: new URL('server.ts', import.meta.url),
    variants: Object.keys(variants),
    request: 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n',
    connections: 20,
    warmUp: inMemory ? 40_000 : 12_000,
    rounds,
    requests,
    inMemory
  })
  const named = (name: string): Contender => contenders.find(contender => contender.name === name)!
  console.log(`| CPU a request, ${inMemory ? 'connections in memory' : 'real sockets'} | to | ratio | middle half | µs more |`)
  console.log('|---|---|---|---|---|')
  for (const contender of contenders) {
    const base = named(variants[contender.name]!.to)
    if (base === contender) continue
    const ratios = contender.to(base)
    const [low, high] = quartiles(ratios)
    const more = median(contender.perRequest.map((value, round) => value - base.perRequest[round]!))
    console.log(`| ${contender.name} | ${base.name} | ${median(ratios).toFixed(3)} | ${low.toFixed(2)}–${high.toFixed(2)} | ${more.toFixed(1)} |`)
  }
  console.log(`\nMedians of ${rounds} rounds of ${requests} requests. Node ${process.version}. Bare Fastify: ${contenders[0]!.median.toFixed(1)} µs. Wanted: ${WANTED} at most.\n`)
}

await cpu(true)
if (!process.argv.includes('--code')) await cpu(false)
