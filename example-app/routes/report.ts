// Computes on the event loop: pairs of products that look alike. While it does, nothing else is served, so how many of
// these may follow one another decides how long everybody else waits.
import type { FastifyInstance } from 'fastify'
import type { Product } from '../product.ts'
import type { Store } from '../store.ts'

interface Pair { a: number, b: number, similarity: number }

const reportSchema = {
  response: {
    200: {
      type: 'object',
      properties: {
        compared: { type: 'integer' },
        milliseconds: { type: 'integer' },
        pairs: {
          type: 'array',
          items: { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'integer' }, similarity: { type: 'number' } } }
        }
      }
    }
  }
}

export async function reportRoutes (app: FastifyInstance, { store }: { store: Store }): Promise<void> {
  app.get('/report', {
    schema: reportSchema,
    // One at a time with a short queue: see app.ts.
    config: { concurrency: 'reports' }
  }, async () => {
    const products = await store.page(0, 2_000)
    const started = performance.now()
    const { compared, pairs } = lookalikes(products)
    return { compared, milliseconds: Math.round(performance.now() - started), pairs }
  })
}

/** The 20 most similar pairs of a category, by the tags that they share (Jaccard index). */
function lookalikes (products: Product[]): { compared: number, pairs: Pair[] } {
  const categories = new Map<string, Product[]>()
  for (const product of products) {
    const others = categories.get(product.category)
    if (others === undefined) categories.set(product.category, [product])
    else others.push(product)
  }
  let compared = 0
  const pairs: Pair[] = []
  for (const category of categories.values()) {
    for (const [at, a] of category.entries()) {
      for (const b of category.slice(at + 1)) {
        const shared = a.tags.filter(tag => b.tags.includes(tag)).length
        const similarity = shared / (a.tags.length + b.tags.length - shared)
        if (similarity > 0.5) pairs.push({ a: a.id, b: b.id, similarity })
        compared++
      }
    }
  }
  pairs.sort((one, other) => other.similarity - one.similarity)
  return { compared, pairs: pairs.slice(0, 20) }
}
