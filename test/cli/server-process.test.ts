// Commands that are no server, or no longer, and what is left of them.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Failure } from '../../cli/failure.ts'
import { ServerProcess } from '../../cli/server-process.ts'
import { unusedPort } from '../../cli/unused-port.ts'
import { eventually } from '../support/raw-http.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

const SLOW = `"${process.execPath}" "${join(import.meta.dirname, 'slow-server.mjs')}"`

function fails (command: string, message: RegExp, target = { path: '/' }, port?: number): Promise<void> {
  return assert.rejects(async () => {
    const server = await ServerProcess.start(command, target, port ?? await unusedPort(), { DELAY: '1' })
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

/** A server of a few lines. */
function script (code: string): string {
  return `"${process.execPath}" -e "const http = require('http'), fs = require('fs'), net = require('net'); ${code}"`
}

const LISTEN = "listen(process.env.PORT, '127.0.0.1')"

test('a server that is not ready yet is asked again', async () => {
  const later = script(`let asked = 0; http.createServer((q, r) => { if (asked++ < 3) { if (asked === 1) return q.socket.destroy(); r.statusCode = 503 } r.end('ok') }).${LISTEN}`)
  const server = await ServerProcess.start(later, { path: '/' }, await unusedPort(), {})
  await server.stop()
})

test('what is no reply fails at once, be it another protocol or bytes behind the end', async () => {
  const raw = (reply: string): string => script(`net.createServer(s => s.on('error', () => {}).once('data', () => s.end('${reply.replaceAll('\r\n', '\\r\\n')}'))).${LISTEN}`)
  await fails(raw('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA'), /^GET \/ fails: Parse Error/)
  await fails(raw('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'), /^GET \/ fails: it is answered 101, which is another protocol/)
})

test('stop() lets a server end in its own time behind a shell, and its port is free again', async t => {
  const file = join(await temporaryDir(t), 'log')
  const graceful = script(`const s = http.createServer((q, r) => r.end('ok')).${LISTEN}; process.on('SIGTERM', () => { s.close(); s.closeAllConnections(); setTimeout(() => { fs.appendFileSync('${file}', 'done '); process.exit() }, 100) })`)
  const port = await unusedPort()
  for (let i = 0; i < 3; i++) await (await ServerProcess.start(`${graceful}; true`, { path: '/' }, port, {})).stop()
  assert.equal(await readFile(file, 'utf8'), 'done done done ')
})

test('a command that hands its server to the background is as good', async () => {
  const server = await ServerProcess.start(`${SLOW} &`, { path: '/' }, await unusedPort(), { DELAY: '1' })
  server.assertAlive('now')
  await server.stop()
  assert.throws(() => server.assertAlive('behind its end'), Failure)
})

test('a server that dies is not taken for one that answers nobody', async () => {
  const server = await ServerProcess.start(script(`console.log('out of cheese'); http.createServer((q, r) => { r.end('ok') }).${LISTEN}; setTimeout(() => process.exit(3), 300)`), { path: '/' }, await unusedPort(), {})
  await eventually(() => { try { server.assertAlive('under load'); return false } catch (err) { assert.match((err as Error).message, /ended under load\.\nIt wrote:\n {2}out of cheese$/); return true } }, 'it is seen')
  await server.stop()
})

test('what has left the group and listens on is named', async t => {
  const file = join(await temporaryDir(t), 'pid')
  const away = script(`fs.writeFileSync('${file}', String(process.pid)); http.createServer((q, r) => r.end('ok')).${LISTEN}; setTimeout(() => process.exit(), 20000)`)
  const server = await ServerProcess.start(`setsid -w ${away}`, { path: '/' }, await unusedPort(), {})
  await assert.rejects(() => server.stop(), /has left its process group and still listens on port \d+/)
  process.kill(Number(await readFile(file, 'utf8')), 'SIGKILL')
})

test('stop() ends what the command has started, too, and a server that does not heed SIGTERM', async t => {
  const file = join(await temporaryDir(t), 'pids')
  const stubborn = `${process.execPath} -e "process.on('SIGTERM', () => {}); require('fs').appendFileSync('${file}', process.pid + ' '); setInterval(() => {}, 1e3)"`
  const server = await ServerProcess.start(`${stubborn} & ${SLOW}`, { path: '/' }, await unusedPort(), { DELAY: '1' })
  let pids: number[] = []
  while (pids.length === 0) pids = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ').filter(Boolean).map(Number)
  await server.stop()
  // A zombie that nobody has waited for yet is over as well.
  for (const pid of pids) assert.match(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tX'), /State:\t[ZX]/)
  assert.equal(await server.readings('/metrics'), undefined)
})

test('without fastify-surge there are no readings', async () => {
  const server = await ServerProcess.start(SLOW, { path: '/' }, await unusedPort(), { DELAY: '1' })
  const { rss, loopDelay } = await server.readings('/metrics') ?? {}
  await server.stop()
  assert.deepEqual([rss, loopDelay], [NaN, NaN])
})
