// Writes products to stdout, to be piped into an import: npx tsx make-products.ts --mb 40 --format ndjson
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { MAX_ID, productOf } from './product.ts'

/** Behind the products that the store is seeded with. */
const FIRST_ID = 2_001
const CHUNK = 64 * 1024

/** Chunks of NDJSON or of a JSON array, about `bytes` in all, or as many as there are ids. */
export function * productChunks (bytes: number, format: 'ndjson' | 'array'): Generator<string> {
  const [open, separator, end] = format === 'array' ? ['[', ',\n', ']\n'] : ['', '\n', '\n']
  let chunk = open
  let written = 0
  for (let id = FIRST_ID; id <= MAX_ID && written + chunk.length < bytes; id++) {
    chunk += (id === FIRST_ID ? '' : separator) + JSON.stringify(productOf(id))
    if (chunk.length < CHUNK) continue
    yield chunk
    written += chunk.length
    chunk = ''
  }
  yield chunk + end
}

if (process.argv[1] === import.meta.filename) {
  const { values: { mb, format } } = parseArgs({ options: { mb: { type: 'string', default: '1' }, format: { type: 'string', default: 'ndjson' } } })
  if (!(Number(mb) > 0) || (format !== 'ndjson' && format !== 'array')) {
    console.error('Usage: npx tsx make-products.ts [--mb 40] [--format ndjson|array]')
    process.exit(1)
  }
  // A reader that has had enough, such as curl after a 429, is no error.
  await pipeline(Readable.from(productChunks(Number(mb) * 1e6, format)), process.stdout).catch(err => { if (err.code !== 'EPIPE') throw err })
}
