// The page to start from: what there is.
import type { FastifyInstance } from 'fastify'

const index = {
  name: 'fastify-surge example',
  urls: {
    'GET /products': 'up to 2,000 products, compressed, with an ETag; ?after=ID&limit=N for the next ones',
    'GET /products/:id': 'one product',
    'POST /products/import': 'takes a JSON array or NDJSON of any length; ?progress=true tells how far it is',
    'GET /orders': 'waits for a downstream with 10 connections of 20 ms',
    'GET /report': 'computes for some 30 ms on the event loop',
    'GET /events': 'server-sent events: the state of the gates, each second',
    'GET /livez': 'the process lives',
    'GET /readyz': 'the server takes requests'
  }
}

export async function indexRoutes (app: FastifyInstance): Promise<void> {
  app.get('/', async () => index)
}
