// How fast a JSON body is read through a real HTTP request, in alternating runs against Fastify's parser and stream-json.
//   node --import tsx bench/json-stream/index.ts [--quick] [--memory]
import { body, shapes } from './bodies.ts'
import { send, slices, start, type Server } from './client.ts'
import { memory } from './memory.ts'

const quick = process.argv.includes('--quick')
const READERS = ['surge', 'surge batches', 'fastify', 'stream-json', 'stream-json packed']

if (process.argv.includes('--memory')) {
  process.exitCode = await memory(quick ? 0.2e9 : 1e9) ? 0 : 1
} else {
  await table(quick ? 20e6 : 90e6, 1, READERS, 3)
  await table(1e6, 20, READERS.slice(0, 3), quick ? 5 : 9)
}

/** A row a shape: the MB/s of each reader and how many times as fast ours is, by medians of alternating runs. */
async function table (bytes: number, requests: number, readers: string[], rounds: number): Promise<void> {
  console.log(`\n${(bytes / 1e6).toFixed(0)} MB bodies: MB/s (\`for await\` is so many times as fast, and takes so many times less processor), medians of ${rounds} alternating runs\n`)
  console.log(`| | ${readers.join(' | ')} |`)
  console.log(`|---|${readers.map(() => '---|').join('')}`)
  const servers = new Map<string, Server>()
  for (const reader of readers) servers.set(reader, await start(reader))
  try {
    for (const shape of Object.keys(shapes)) {
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
      const medians = readers.map(reader => ({ wall: median(runs.get(reader)!.map(run => run.wall)), cpu: median(runs.get(reader)!.map(run => run.cpu)) }))
      const cells = medians.map(({ wall, cpu }, at) => {
        const speed = (json.length * requests / wall / 1000).toFixed(0)
        return at === 0 ? speed : `${speed} (${(wall / medians[0]!.wall).toFixed(1)}, ${(cpu / medians[0]!.cpu).toFixed(1)})`
      })
      console.log(`| ${shape} | ${cells.join(' | ')} |`)
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

function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

function progress (text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (text !== '') process.stderr.write('.')
}
