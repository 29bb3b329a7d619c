// A route that reads its JSON body as Fastify does, with json-stream in the app or without.
import Fastify from 'fastify'
import jsonStream from 'fastify-surge/json-stream'
import { serveBursts } from '../support/burst-server.ts'

const app = Fastify({ bodyLimit: 2 ** 21 })
if (process.argv[2] === 'beside json-stream') await app.register(jsonStream)
app.post('/', async request => ({ count: (request.body as unknown[]).length }))
await serveBursts(app)
