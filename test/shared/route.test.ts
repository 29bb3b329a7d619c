import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import { declaredRoutes } from '../../plugins/shared/early-routes.ts'
import { routeOf } from '../../plugins/shared/route.ts'
import { routeSetting } from '../../plugins/shared/suite-state.ts'

test('GET and HEAD are one route, other methods and urls are others', () => {
  const key = (method: string | string[], url: string) => routeOf({ method, url }).key
  assert.equal(key('HEAD', '/a'), key('GET', '/a'))
  assert.equal(key(['GET', 'HEAD'], '/a'), key('GET', '/a'))
  assert.equal(key(['POST', 'GET'], '/a'), key(['GET', 'POST'], '/a'))
  assert.notEqual(key('POST', '/a'), key('GET', '/a'))
  assert.notEqual(key('GET', '/a/'), key('GET', '/a'))
})

test('what no route matched is one route', () => {
  assert.equal(routeOf(undefined).key, '404')
  assert.equal(routeOf({}).key, '404')
})

test('an override by method and url comes before one by url, and that before the route itself', () => {
  const state = { dryRun: false, onRefused: undefined, routes: { '/a': { deadline: 2 }, 'POST /a': { deadline: 3 } } }
  const setting = (method: string, config: object) => routeSetting(state, 'deadline', [method], '/a', config)
  assert.equal(setting('POST', { deadline: 1 }), 3)
  assert.equal(setting('GET', { deadline: 1 }), 2)
  assert.equal(routeSetting(state, 'concurrency', ['POST'], '/a', { concurrency: 'x' }), 'x')
  assert.equal(routeSetting(state, 'deadline', ['GET'], undefined, {}), undefined)
})

test('declaredRoutes() reads the routes out of the drawing of the router', () => {
  const app = Fastify()
  assert.deepEqual(declaredRoutes(app), [])
  const handler = async () => 1
  app.get('/', handler)
  app.get('/a/b', handler)
  app.post('/a/bc', handler)
  app.get('/a/:id', handler)
  app.get('/a/:id/x', handler)
  app.route({ method: ['PUT', 'PATCH'], url: '/z', handler })
  app.get('/v', { constraints: { version: '1.0.0' } }, handler)
  assert.deepEqual(declaredRoutes(app).sort(), ['GET /', 'GET /a/:id', 'GET /a/:id/x', 'GET /a/b', 'GET /v', 'POST /a/bc', 'PUT,PATCH /z'])
})
