// Holds connections to one server: each has asked once, over HTTP/1.1 from one of a hundred addresses, and is silent since.
import net from 'node:net'
import { get } from '../support/request.ts'

const ADDRESSES = 100
/** The backlog of a listener is 511. */
const AT_ONCE = 200
const REQUEST = get('/', 'Accept-Encoding: gzip, deflate, br\r\n')

const held = new Set<net.Socket>()

function hold (port: number, i: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + i % ADDRESSES}` })
    held.add(socket)
    socket.once('data', () => resolve()).once('error', reject)
    socket.once('close', () => held.delete(socket))
    socket.write(REQUEST)
  })
}

async function open (port: number, count: number): Promise<number> {
  for (let i = 0; i < count; i += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - i) }, (_, at) => hold(port, i + at)))
  }
  return held.size
}

async function close (): Promise<number> {
  await Promise.all([...held].map(socket => new Promise<void>(resolve => { socket.once('close', () => resolve()).destroy() })))
  return held.size
}

process.on('message', async ({ port, count }: { port: number, count: number }) => {
  process.send!(count === 0 ? await close() : count < 0 ? held.size : await open(port, count))
})
process.on('disconnect', () => process.exit())
process.send!('ready')
