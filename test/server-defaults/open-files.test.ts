// A process that runs out of file descriptors, in a process of its own that has few.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { RawClient, eventually } from '../support/raw-http.ts'

const CONNECTIONS = 200

test('out of file descriptors, the server serves whom it has, and everybody again once there are some', { skip: process.platform === 'win32' && 'has no ulimit' }, async t => {
  const child = spawn('sh', ['-c', 'ulimit -n 100; exec "$0" --import tsx "$1"', process.execPath, join(import.meta.dirname, '../lifecycle/drained-child.ts')], { env: { ...process.env, DRAIN_DELAY: '0' }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const { port } = JSON.parse((await lines.next()).value!)

  const first = await RawClient.connect(port)
  assert.equal((await first.get('/').reply()).status, 200)
  let ended = 0
  const flood = Array.from({ length: CONNECTIONS }, () => net.connect(port, '127.0.0.1').on('error', () => {}).on('close', () => { ended++ }))
  await eventually(() => ended >= CONNECTIONS - 100, 'those that it has no descriptor for are ended')
  assert.equal((await first.get('/').reply()).status, 200)

  for (const socket of flood) socket.destroy()
  let status = 0
  // The server hears of their ends a moment later.
  while (status !== 200) {
    const next = (await RawClient.connect(port)).get('/')
    status = await next.reply().then(reply => reply.status, () => 0)
    next.end()
  }
  assert.equal((await first.get('/').reply()).status, 200)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
})
