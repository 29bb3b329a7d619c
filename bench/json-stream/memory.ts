// A body of 1 GB, made as it is sent, through a server whose heap may have 64 MB: what does the process grow by?
import { shapes } from './bodies.ts'
import { send, start, type Server } from './client.ts'

const RESIDENT_LIMIT_MB = 50

export async function memory (totalBytes: number): Promise<boolean> {
  let passed = true
  console.log('| body | consumer | elements | seconds | RSS before | RSS growth | event loop p99 | sender ahead by, at most |')
  console.log('|---|---|---|---|---|---|---|---|')
  for (const [shape, delay] of [['1 KB records', 0], ['100 KB records', 0], ['100 KB records', 1]] as const) {
    const server = await start('memory', ['--max-old-space-size=64', '--expose-gc'])
    try {
      // Warm: compiled code and the buffers of a first connection are not what is asked about.
      await send(server, records(shape, 32e6), undefined, '/?delay=0')
      const began = performance.now()
      const lead = new Lead(server)
      const { count, before, peak, delayP99 } = await send(server, lead.counted(records(shape, totalBytes)), undefined, `/?delay=${delay}`)
      lead.stop()
      const growth = (peak - before) / 1e6
      passed &&= growth <= RESIDENT_LIMIT_MB
      console.log(`| ${(totalBytes / 1e9).toFixed(1)} GB, ${shape} | ${delay === 0 ? 'fast' : `${delay} ms an element`} | ${count} | ${((performance.now() - began) / 1000).toFixed(1)} | ${(before / 1e6).toFixed(0)} MB | ${growth.toFixed(0)} MB | ${delayP99.toFixed(1)} ms | ${(lead.most / 1e6).toFixed(1)} MB |`)
    } finally {
      server.stop()
    }
  }
  console.log(passed ? `RSS grew by at most ${RESIDENT_LIMIT_MB} MB.` : `RSS grew by more than ${RESIDENT_LIMIT_MB} MB.`)
  return passed
}

function * records (shape: string, totalBytes: number): Generator<Buffer> {
  const record = Buffer.from(',' + JSON.stringify(shapes[shape]!(1)))
  const perChunk = Math.max(1, Math.floor(64_000 / record.length))
  const chunk = Buffer.concat(Array(perChunk).fill(record))
  yield Buffer.concat([Buffer.from('['), record.subarray(1)])
  for (let sent = record.length; sent < totalBytes; sent += chunk.length) yield chunk
  yield Buffer.from(']')
}

/** How far a sender is ahead of the handler: what lies in buffers, the kernel's included. That it does not grow with the body says that the one goes at the pace of the other. */
class Lead {
  most = 0
  #sent = 0
  readonly #poll: NodeJS.Timeout

  constructor ({ port }: Server) {
    this.#poll = setInterval(async () => {
      const sent = this.#sent
      const { bytes } = await (await fetch(`http://127.0.0.1:${port}/read`)).json() as { bytes: number }
      this.most = Math.max(this.most, sent - bytes)
    }, 250)
  }

  * counted (chunks: Iterable<Buffer>): Generator<Buffer> {
    for (const chunk of chunks) {
      this.#sent += chunk.length
      yield chunk
    }
  }

  stop (): void {
    clearInterval(this.#poll)
  }
}
