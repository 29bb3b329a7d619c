// How JSON bodies are read through a real HTTP request, in alternating runs against Fastify's parser, stream-json and @streamparser/json.
//   node --import tsx bench/json-stream/index.ts [--quick] [--size 90|1] [--rounds 15] [--readers fastify,stream-json] [--shapes '1 KB records,numbers']
//   … --memory: a body of 1 GB    … --loop: the event loop's delay    … --ordinary: what routes pay that do not stream
import { parseArgs } from 'node:util'
import { median } from '../../cli/statistics.ts'
import { body, shapes } from './bodies.ts'
import { send, slices, start, type Server } from './client.ts'
import { loop } from './loop.ts'
import { memory } from './memory.ts'
import { ordinary } from './ordinary.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    loop: { type: 'boolean', default: false },
    ordinary: { type: 'boolean', default: false },
    size: { type: 'string' },
    rounds: { type: 'string' },
    shapes: { type: 'string', default: Object.keys(shapes).filter(shape => shape !== '{},').join(',') },
    readers: { type: 'string', default: 'surge,fastify,stream-json,stream-json packed,streamparser' }
  }
})
const { quick } = options
const chosen = options.shapes === '{},' ? ['{},'] : options.shapes.split(',')
const readers = options.readers.split(',')

if (options.memory) {
  process.exitCode = await memory(quick ? 0.2e9 : 1e9) ? 0 : 1
} else if (options.loop) {
  process.exitCode = await loop() ? 0 : 1
} else if (options.ordinary) {
  await ordinary(quick)
} else {
  if (options.size !== '1') await table(quick ? 20e6 : 90e6, 1, ['surge batches', ...readers], Number(options.rounds ?? 3), chosen)
  if (options.size !== '90') await table(1e6, 20, ['surge batches', ...readers.filter(reader => reader === 'surge' || reader === 'fastify')], Number(options.rounds ?? (quick ? 5 : 9)), chosen)
}

/** A row a shape: the MB/s of the first reader, and how many times as fast it is as each of the others. */
async function table (bytes: number, requests: number, readers: string[], rounds: number, shapes: string[]): Promise<void> {
  console.log(`\nBodies of ${bytes / 1e6} MB: MB/s of the first, and how many times as fast it is as the others (in brackets, as little processor time it takes), medians of ${rounds} alternating runs\n`)
  console.log(`| | ${readers.join(' | ')} |`)
  console.log(`|---|${readers.map(() => '---|').join('')}`)
  const servers = new Map<string, Server>()
  for (const reader of readers) servers.set(reader, await start(reader))
  try {
    for (const shape of shapes) {
      const json = body(shape, bytes)
      const runs = new Map<string, Run[]>(readers.map(reader => [reader, []]))
      for (let round = 0; round <= rounds; round++) {
        for (const reader of readers) {
          progress(`${shape}: round ${round} of ${rounds}, ${reader}`)
          const result = await run(servers.get(reader)!, json, requests)
          // The first round warms up.
          if (round > 0) runs.get(reader)!.push(result)
        }
      }
      progress('')
      const first = runs.get(readers[0]!)!
      const cells = readers.slice(1).map(reader => {
        const ratio = (of: keyof Run) => median(runs.get(reader)!.map((run, round) => run[of] / first[round]![of])).toFixed(2)
        return `${ratio('wall')} (${ratio('cpu')})`
      })
      console.log(`| ${shape} | ${(json.length * requests / median(first.map(run => run.wall)) / 1000).toFixed(0)} | ${cells.join(' | ')} |`)
    }
  } finally {
    for (const server of servers.values()) server.stop()
  }
}

interface Run { wall: number, cpu: number }

async function run (server: Server, json: Buffer, requests: number): Promise<Run> {
  const cpu = await server.cpu()
  const began = performance.now()
  for (let request = 0; request < requests; request++) await send(server, slices(json), json.length)
  return { wall: performance.now() - began, cpu: await server.cpu() - cpu }
}

function progress (text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (text !== '') process.stderr.write('.')
}
