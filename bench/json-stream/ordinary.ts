// What routes pay that do not stream: CPU time a request beside json-stream and without it, over connections in memory, where a
// microsecond shows, and over real sockets, in new processes again and again: two of the same code differ by a few per cent. How much,
// the same server says that runs twice.
import { alternateProcesses } from '../support/alternating.ts'
import { median, middleHalf } from '../../cli/statistics.ts'
import { body } from './bodies.ts'

const cases: Array<[bytes: number, shapes: string[]]> = [
  [100, ['100 B records']],
  [2e3, ['1 KB records', 'numbers', 'non-ASCII']],
  [20e3, ['1 KB records', 'non-ASCII']],
  [1e6, ['1 KB records']]
]

export async function ordinary (quick: boolean): Promise<void> {
  for (const inMemory of [true, false]) {
    console.log(`| CPU a request, ${inMemory ? 'connections in memory' : 'real sockets'} | beside json-stream, to Fastify alone | middle half | µs more | Fastify again |`)
    console.log('|---|---|---|---|---|')
    for (const [bytes, shapes] of cases) {
      for (const shape of shapes) await row(bytes, shape, inMemory, quick ? 1 : inMemory ? 3 : 5)
    }
    console.log()
  }
}

async function row (bytes: number, shape: string, inMemory: boolean, processes: number): Promise<void> {
  const json = body(shape, bytes)
  const requests = Math.max(8, Math.ceil(15e6 / (bytes + 8e3)))
  const [bare, beside, again] = await alternateProcesses({
    server: new URL('ordinary-server.ts', import.meta.url),
    variants: ['Fastify', 'beside json-stream', 'Fastify again'],
    request: `POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json.toString('latin1')}`,
    connections: 8,
    // V8 goes on compiling for some ten thousand.
    warmUp: Math.max(100, Math.ceil(300e6 / (bytes + 8e3))),
    rounds: 5,
    requests,
    inMemory
  }, processes)
  const ratios = beside!.to(bare!)
  const more = median(beside!.perRequest.map((value, round) => value - bare!.perRequest[round]!))
  console.log(`| ${bytes} B, ${shape} (${bare!.median.toFixed(0)} µs) | ${median(ratios).toFixed(3)} | ${middleHalf(ratios)} | ${more.toFixed(1)} | ${median(again!.to(bare!)).toFixed(3)} |`)
}
