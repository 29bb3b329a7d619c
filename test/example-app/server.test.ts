import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { productChunks } from '../../example-app/make-products.ts'
import { RawClient } from '../support/raw-http.ts'
import { importOf, request, startServer } from './client.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

const MB = 1e6
const LIMIT = 50 * MB

/** Bytes of resident memory: 'VmRSS' now, 'VmHWM' at its highest since the start. */
async function memory (pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) * 1024
}

test('imports of 40 MB raise the resident memory by less than 50 MB', { skip: process.platform !== 'linux' && 'reads /proc' }, async t => {
  const { child, port } = await startServer(t, { PORT: '0', DATA_DIR: await temporaryDir(t) })
  // What any server has in memory once it has served something.
  await request(port, '/products', { headers: { 'accept-encoding': 'gzip' } })
  for (const format of ['ndjson', 'array'] as const) {
    const before = await memory(child.pid!, 'VmRSS')
    const reply = await importOf(port, format === 'array' ? 'json' : 'x-ndjson', productChunks(40 * MB, format))
    assert.equal(reply.status, 200, reply.body.toString())
    const { imported, bytes } = JSON.parse(reply.body.toString())
    assert.ok(bytes >= 40 * MB && imported > 100_000)
    const grown = await memory(child.pid!, 'VmHWM') - before
    t.diagnostic(`${format}: ${Math.round(before / MB)} MB before, at most ${Math.round(grown / MB)} MB more`)
    assert.ok(grown < LIMIT, `${format}: ${Math.round(grown / MB)} MB more`)
  }
})

test('SIGTERM lets an import in flight finish, and exits with 0', { skip: process.platform === 'win32' && 'has no SIGTERM' }, async t => {
  const { child, port, output } = await startServer(t, { PORT: '0', DATA_DIR: await temporaryDir(t) })
  const signalled = new Promise<void>(resolve => child.stdout!.on('data', data => { if (String(data).includes('Finishing')) resolve() }))
  const exited = once(child, 'exit')
  const client = await RawClient.connect(port)
  client.send('POST /products/import HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n')
  assert.equal((await client.reply()).status, 100)
  child.kill('SIGTERM')
  await signalled
  const { status, headers } = await client.send('[]').reply()
  assert.deepEqual([status, headers.connection], [200, 'close'])
  assert.deepEqual(await exited, [0, null], output())
})

test('a taken port and a locked store are told in a sentence', async t => {
  const dataDir = await temporaryDir(t)
  const first = await startServer(t, { PORT: '0', DATA_DIR: dataDir })
  for (const [env, message] of [
    [{ PORT: String(first.port), DATA_DIR: await temporaryDir(t) }, /^Port \d+ of 127\.0\.0\.1 is taken/m],
    [{ PORT: '0', DATA_DIR: dataDir }, /^Another process has .* open/m]
  ] as const) {
    const { child, output } = await startServer(t, env)
    if (child.exitCode === null) await once(child, 'exit')
    assert.equal(child.exitCode, 1, output())
    assert.match(output(), message)
  }
})
