import assert from 'node:assert/strict'
import http from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import Fastify from 'fastify'
import concurrency from '../../plugins/concurrency/index.ts'

test('clients of a Unix socket, who have no address, have no share to exhaust', { skip: process.platform === 'win32' && 'has no Unix sockets' }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'surge-'))
  const app = Fastify()
  t.after(async () => {
    await app.close()
    rmSync(directory, { recursive: true })
  })
  await app.register(concurrency, { limit: 10, maxPerKey: 1 })
  app.get('/', async () => 'ok')
  const socketPath = join(directory, 'socket')
  await app.listen({ path: socketPath })
  const statuses = await Promise.all([1, 2, 3].map(() => new Promise(resolve => http.get({ socketPath, path: '/', agent: false }, reply => resolve(reply.resume().statusCode)))))
  assert.deepEqual(statuses, [200, 200, 200])
})
