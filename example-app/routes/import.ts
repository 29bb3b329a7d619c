// Writes a streamed body into the store, batch by batch, and tells how far it has come. No more than one batch is held:
// while the store writes it, nothing is read, and the client waits.
import type { FastifyRequest } from 'fastify'
import type { JsonStreamError } from 'fastify-surge/json-stream'
import type { Product } from '../product.ts'
import type { Store } from '../store.ts'

export interface Progress {
  /** Products that are in the store. */
  imported: number
  /** Bytes of the body that were read. */
  bytes: number
  seconds: number
  done: boolean
  /** Why the import ended early. The elements before `index` are in the store. */
  error?: { statusCode: number, code: string, message: string, index: number | undefined }
}

const STEP = 5_000

/** Yields every 5,000 products, and at the end. */
export async function * importProducts (store: Store, request: FastifyRequest): AsyncGenerator<Progress> {
  const elements = request.jsonStream<Product>()
  const started = performance.now()
  let imported = 0
  let told = 0

  function progress (done: boolean): Progress {
    const seconds = Math.round(performance.now() - started) / 1000
    return { imported, bytes: elements.bytesRead, seconds, done }
  }

  try {
    // A batch is what one read of the body held, so that parsing, checking and writing are each done once for many.
    for await (const batch of elements.batches()) {
      await store.put(batch)
      imported += batch.length
      if (imported - told < STEP) continue
      told = imported
      yield progress(false)
    }
  } catch (err) {
    const { statusCode = 500, code, message, index } = err as JsonStreamError
    // Not the client's fault: Fastify logs it and answers 500.
    if (statusCode >= 500) throw err
    yield { ...progress(true), error: { statusCode, code, message, index } }
    return
  }
  yield progress(true)
}
