// Commands that are no server, or no longer, and what is left of them.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Failure } from '../../cli/failure.ts'
import { freePort, ServerProcess } from '../../cli/server-process.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

const SLOW = `"${process.execPath}" "${join(import.meta.dirname, 'slow-server.mjs')}"`

function fails (command: string, message: RegExp, target = { path: '/' }, port?: number): Promise<void> {
  return assert.rejects(async () => {
    const server = await ServerProcess.start(command, target, port ?? await freePort(), { DELAY: '1' })
    await server.stop()
  }, (err: unknown) => err instanceof Failure && message.test(err.message))
}

test('a command that ends says why', async () => {
  await fails('echo "no such table" >&2; exit 3', /ended before it listened on port \d+\.\nIt wrote:\n {2}no such table$/)
  await fails('surely-not-a-command', /ended before it listened/)
})

test('a port that is taken is not measured in the place of the server', async t => {
  const other = net.createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  await fails(SLOW, /^Port \d+ is taken/, { path: '/' }, (other.address() as net.AddressInfo).port)
})

test('a request that is answered 400 or above measures nothing', async () => {
  const script = `${process.execPath} -e "require('http').createServer((q, r) => { r.statusCode = 404; r.end() }).listen(process.env.PORT, '127.0.0.1')"`
  await fails(script, /^GET \/nowhere is answered 404: there is nothing to measure\.$/, { path: '/nowhere' })
})

test('stop() ends what the command has started, too, and a server that does not heed SIGTERM', async t => {
  const file = join(await temporaryDir(t), 'pids')
  const stubborn = `${process.execPath} -e "process.on('SIGTERM', () => {}); require('fs').appendFileSync('${file}', process.pid + ' '); setInterval(() => {}, 1e3)"`
  const server = await ServerProcess.start(`${stubborn} & ${SLOW}`, { path: '/' }, await freePort(), { DELAY: '1' })
  let pids: number[] = []
  while (pids.length === 0) pids = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ').filter(Boolean).map(Number)
  await server.stop()
  // A zombie that nobody has waited for yet is over as well.
  for (const pid of pids) assert.match(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tX'), /State:\t[ZX]/)
  assert.equal(await server.readings('/metrics'), undefined)
})

test('without fastify-surge there are no readings', async () => {
  const server = await ServerProcess.start(SLOW, { path: '/' }, await freePort(), { DELAY: '1' })
  const { rss, loopDelay } = await server.readings('/metrics') ?? {}
  await server.stop()
  assert.deepEqual([rss, loopDelay], [NaN, NaN])
})
