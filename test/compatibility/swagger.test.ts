import assert from 'node:assert/strict'
import { test } from 'node:test'
import swagger from '@fastify/swagger'
import { RawClient } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

test('@fastify/swagger lists the routes of the app and none of the suite, whichever is first', async t => {
  for (const first of [true, false]) {
    const register = (app: any) => app.register(swagger, { openapi: { info: { title: 'shop', version: '1' } } })
    const { app, port, lines } = await serveBeside(t, {
      before: app => first && register(app),
      behind: async app => {
        if (!first) await register(app)
        app.get('/items', { config: { concurrency: { priority: 0 }, deadline: 1_000 }, schema: { querystring: { type: 'object', properties: { page: { type: 'integer' } } } } }, async () => [])
        app.post('/import', { config: { jsonStream: true }, schema: { body: { type: 'array', items: { type: 'object', properties: { id: { type: 'integer' } } } } } }, async () => 'ok')
        app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger())
      }
    })
    const reply = await (await RawClient.connect(port)).get('/openapi.json').reply()
    const { paths } = JSON.parse(reply.body)
    assert.deepEqual(Object.keys(paths), ['/items', '/import'])
    assert.equal(paths['/items'].get.parameters[0].name, 'page')
    assert.equal(paths['/import'].post.requestBody.content['application/json'].schema.items.properties.id.type, 'integer')
    const known = await (await RawClient.connect(port)).get('/openapi.json', `If-None-Match: ${reply.headers.etag}\r\n`).reply()
    assert.equal(known.status, 304)
    await atRest(app)
    assert.deepEqual(complaints(lines), [])
    await closesByItself(app)
  }
})
