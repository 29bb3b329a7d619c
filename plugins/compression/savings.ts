// Counts what did not have to be sent, for the metrics: replies that their clients had, bytes that a coding took away, and
// compressions that the cache spared. Without it nobody knows whether any of that is worth its CPU time.
import type { Instrument, Instruments } from '../shared/instruments.ts'
import type { RepresentationCache } from './representation-cache.ts'

const conditional: Instrument = { name: 'fastify.conditional_responses', type: 'counter', help: 'Replies that preconditions decided: 304 for what the client has, 412 for what it has no longer' }
const savedBytes: Instrument = { name: 'fastify.compression.saved', unit: 'By', type: 'counter', help: 'Bytes of bodies that content codings took away' }
const hits: Instrument = { name: 'fastify.compression.cache.hits', type: 'counter', help: 'Representations that were kept, and sent again' }
const misses: Instrument = { name: 'fastify.compression.cache.misses', type: 'counter', help: 'Representations that were looked for and not kept' }
const cacheBytes: Instrument = { name: 'fastify.compression.cache.size', unit: 'By', type: 'gauge', help: 'Memory of the representations that are kept' }

export class Savings {
  /** Replies 304, the app's own among them. */
  notModified = 0
  /** Replies 412. */
  failed = 0
  #bytes = 0

  /** A body went out encoded; one that grew by that saved nothing. */
  encoded (plainBytes: number, sentBytes: number): void {
    if (plainBytes > sentBytes) this.#bytes += plainBytes - sentBytes
  }

  register (instruments: Instruments, cache: RepresentationCache | undefined): void {
    instruments.add(conditional, add => {
      add(this.notModified, { outcome: 'not_modified' })
      add(this.failed, { outcome: 'failed' })
    })
    instruments.add(savedBytes, add => add(this.#bytes))
    if (cache === undefined) return
    instruments.add(hits, add => add(cache.stats.hits))
    instruments.add(misses, add => add(cache.stats.misses))
    instruments.add(cacheBytes, add => add(cache.stats.bytes))
  }
}
