// The suite's types in one program with those of the plugins that it lives beside: each augments the same interfaces.
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import proxy from '@fastify/http-proxy'
import multipart from '@fastify/multipart'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { expect, test } from 'tstyche'
import surge, { serverOptions, type Concurrency, type RequestDeadline } from '../../plugins/index.ts'

const app = Fastify(serverOptions())

test('each registers on an app that is made with serverOptions()', () => {
  expect(app.register).type.toBeCallableWith(cors, { origin: true })
  expect(app.register).type.toBeCallableWith(helmet)
  expect(app.register).type.toBeCallableWith(surge, { routes: { '/graphql': { concurrency: 'graphql' } } })
  expect(app.register).type.toBeCallableWith(multipart)
  expect(app.register).type.toBeCallableWith(fastifyStatic, { root: '/srv' })
  expect(app.register).type.toBeCallableWith(proxy, { upstream: 'http://127.0.0.1:1' })
  expect(app.register).type.toBeCallableWith(swagger)
  expect(app.register).type.toBeCallableWith(websocket)
  expect(app.register).type.toBeCallableWith(mercurius, { schema: 'type Query { a: Int }' })
})

test('the decorators of all are there at once', () => {
  app.get('/', { websocket: true, config: { concurrency: 'sockets', deadline: 5, cors: false } }, (socket, request) => {
    expect(request.deadline).type.toBe<RequestDeadline>()
    socket.send('typed')
  })
  app.post('/', async (request, reply) => {
    expect(request.isMultipart()).type.toBe<boolean>()
    expect(reply.notModified({ etag: 'a' })).type.toBe<boolean>()
    return reply.sendFile('a.css')
  })
  expect(app.concurrency).type.toBe<Concurrency>()
  expect(app.swagger).type.toBeCallableWith()
  expect(app.websocketServer.clients.size).type.toBe<number>()
})
