// A hello-world behind one rate limiter.
import Fastify from 'fastify'
import { serveBursts } from '../support/burst-server.ts'
import { variants } from './variants.ts'

const app = Fastify()
await variants[process.argv[2]!]!(app)
await serveBursts(app)
