// The catalogue: a list that is compressed once and revalidated for nothing, single products, and an import that
// takes bodies of any length in little memory.
import { STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { MAX_ID, productSchema } from '../product.ts'
import type { Store } from '../store.ts'
import { importProducts, type Progress } from './import.ts'

const PAGE = 2_000

const listSchema = {
  querystring: {
    type: 'object',
    properties: {
      after: { type: 'integer', minimum: 0, maximum: MAX_ID, default: 0 },
      limit: { type: 'integer', minimum: 1, maximum: PAGE, default: PAGE }
    }
  },
  response: {
    200: {
      type: 'object',
      properties: {
        products: { type: 'array', items: productSchema },
        next: { type: 'string', nullable: true }
      }
    }
  }
}

const productRouteSchema = {
  params: { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: MAX_ID } } },
  response: { 200: productSchema }
}

const importSchema = {
  querystring: { type: 'object', properties: { progress: { type: 'boolean', default: false } } },
  // Each element is checked by `items` as it comes in. Swagger shows the schema as it stands.
  body: { type: 'array', items: productSchema }
}

export async function productRoutes (app: FastifyInstance, { store }: { store: Store }): Promise<void> {
  app.get<{ Querystring: { after: number, limit: number } }>('/products', {
    schema: listSchema,
    // A page that is asked for again is sent as it was compressed, or answered 304, without this handler, until something is written.
    config: { compression: { version: () => store.version } }
  }, async (request, reply) => {
    const { after, limit } = request.query
    // Clients may keep the list, and ask each time whether it still holds. Public: it is the same one for everybody.
    reply.header('cache-control', 'public, no-cache')
    const products = await store.page(after, limit)
    return { products, next: products.length === limit ? `/products?after=${products.at(-1)!.id}&limit=${limit}` : null }
  })

  // Nothing about ETags here: the plugin makes one of the body, and most products outlast an import.
  app.get<{ Params: { id: number } }>('/products/:id', { schema: productRouteSchema }, async (request, reply) => {
    const { id } = request.params
    const product = await store.get(id)
    if (product !== undefined) return product
    return reply.code(404).send({ statusCode: 404, error: 'Not Found', message: `There is no product ${id}` })
  })

  app.post<{ Querystring: { progress: boolean } }>('/products/import', {
    schema: importSchema,
    config: {
      // The body is a JSON array or NDJSON, by its Content-Type, and read by request.jsonStream() in import.ts.
      jsonStream: true,
      // An import takes as long as its body. One that falls silent is ended by jsonStream's idleTimeout.
      deadline: false,
      // Few at a time, and nobody waits: see app.ts.
      concurrency: 'imports',
      // Writes cost more than reads, so a client has fewer of them: the eleventh within a minute is answered 429.
      rateLimit: { max: 10, timeWindow: '1 minute' },
      // Lines of progress are to leave one by one; a compressor would hold them back until it has enough.
      compression: false
    }
  }, async (request, reply) => {
    const progress = importProducts(store, request)
    if (request.query.progress) {
      reply.type('application/x-ndjson')
      return reply.send(Readable.from(lines(progress)))
    }
    let last: Progress | undefined
    for await (last of progress);
    if (last?.error === undefined) return last
    const { statusCode, ...error } = last.error
    return reply.code(statusCode).send({ statusCode, error: STATUS_CODES[statusCode], ...error, imported: last.imported })
  })
}

async function * lines (progress: AsyncIterable<Progress>): AsyncGenerator<string> {
  for await (const step of progress) yield JSON.stringify(step) + '\n'
}
