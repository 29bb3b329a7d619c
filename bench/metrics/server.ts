// A hello-world that is measured in one way.
import Fastify from 'fastify'
import { serverOptions } from 'fastify-surge'
import { serveBursts } from '../support/burst-server.ts'
import { variants } from './variants.ts'

const { suite, register } = variants[process.argv[2]!]!
const app = Fastify(suite ? serverOptions() : {})
await register(app)
await serveBursts(app)
