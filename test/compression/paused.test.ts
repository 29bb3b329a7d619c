// Readers that ask for gzip and then read nothing: the memory that they can take, in a process of its own.
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'

const READERS = 1_000
/** `maxContexts` as it comes. */
const CONTEXTS = 128
const MB = 1e6
/** What docs/compression.md says: 0.7 MB a context at most, and what any paused reply takes, 0.1 MB. */
const BOUND = CONTEXTS * 0.7 * MB + READERS * 0.1 * MB

async function rss (child: ChildProcess): Promise<number> {
  child.send('rss')
  return (await once(child, 'message'))[0]
}

/** Reads the head, and then no more. */
async function pausedReader (port: number, path: string): Promise<{ socket: net.Socket, head: string }> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n`)
  const [data] = await once(socket, 'data')
  socket.pause()
  return { socket, head: String(data).split('\r\n\r\n')[0]! }
}

test('1,000 paused gzip readers take the contexts that there are; the rest, and the next one, get plain bytes', async t => {
  const child = fork(new URL('paused-server.ts', import.meta.url), { execArgv: ['--import', 'tsx', '--expose-gc'] })
  t.after(() => child.disconnect())
  const [port] = await once(child, 'message')
  const before = await rss(child)
  const readers: Array<Awaited<ReturnType<typeof pausedReader>>> = []
  t.after(() => { for (const { socket } of readers) socket.destroy() })
  for (let i = 0; i < READERS; i += 50) readers.push(...await Promise.all(Array.from({ length: 50 }, () => pausedReader(port, '/endless'))))

  assert.equal(readers.filter(({ head }) => head.includes('content-encoding: gzip')).length, CONTEXTS)
  assert.ok(readers.every(({ head }) => head.startsWith('HTTP/1.1 200')))
  const next = await pausedReader(port, '/short')
  readers.push(next)
  assert.match(next.head, /^HTTP\/1\.1 200/)
  assert.doesNotMatch(next.head, /content-encoding/)

  const grown = await rss(child) - before
  t.diagnostic(`${Math.round(grown / MB)} MB more for ${READERS} readers`)
  assert.ok(grown < BOUND, `${Math.round(grown / MB)} MB`)

  for (const { socket } of readers) socket.destroy()
  for (const end = performance.now() + 20_000; ;) {
    const { socket, head } = await pausedReader(port, '/short')
    socket.destroy()
    if (head.includes('content-encoding: gzip')) break
    assert.ok(performance.now() < end, 'the places are free again')
  }
})
