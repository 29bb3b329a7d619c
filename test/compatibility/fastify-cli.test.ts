// fastify-cli starts the app and closes it by close-with-grace: the suite drains without `signals`.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { unusedPort } from '../../cli/unused-port.ts'
import { RawClient } from '../support/raw-http.ts'

const cli = createRequire(import.meta.url).resolve('fastify-cli')

test('SIGTERM of `fastify start` serves what is in its handler, and ends with 0', { skip: process.platform === 'win32' && 'has no SIGTERM' }, async t => {
  const port = await unusedPort()
  const child = spawn(process.execPath, ['--import', 'tsx', cli, 'start', '--options', '-a', '127.0.0.1', '-p', String(port), '-g', '20000', fileURLToPath(new URL('fastify-cli-app.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'listens')
  const client = (await RawClient.connect(port)).get('/')
  assert.equal((await lines.next()).value, 'in its handler')
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const { status, body, headers } = await client.reply()
  assert.deepEqual([status, body, headers.connection], [200, 'whole', 'close'])
  assert.deepEqual(await exited, [0, null])
})
