// What measuring costs: whole-process CPU time a hello-world request, bursts of all variants in turn, each compared with the
// same server unmeasured in the same round. Over connections in memory, where a microsecond shows, and over real sockets.
//
//   npm run bench:metrics [-- --quick | --code]
import { compareHello } from '../support/alternating.ts'
import { median, middleHalf } from '../../cli/statistics.ts'
import { variants } from './variants.ts'

const quick = process.argv.includes('--quick')

async function cpu (inMemory: boolean): Promise<void> {
  await compareHello({
    server: new URL('server.ts', import.meta.url),
    variants: Object.keys(variants),
    rounds: quick ? 7 : inMemory ? 101 : 31,
    requests: quick || inMemory ? 2_000 : 4_000,
    inMemory
  }, ['to', 'ratio', 'middle half', 'µs more'], (contender, named) => {
    const base = named(variants[contender.name]!.to)
    if (base === contender) return
    const ratios = contender.to(base)
    const more = median(contender.perRequest.map((value, round) => value - base.perRequest[round]!))
    return [base.name, median(ratios).toFixed(3), middleHalf(ratios), more.toFixed(1)]
  })
}

await cpu(true)
if (!process.argv.includes('--code')) await cpu(false)
console.log('Wanted: a ratio of 1.03 at most.')
