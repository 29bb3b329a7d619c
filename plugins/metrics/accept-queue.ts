// Linux: connections that the kernel has accepted and the process has not, and those it had to turn away. The process
// itself learns of neither.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import type { Instrument, Instruments } from '../shared/instruments.ts'

const length: Instrument = { name: 'fastify.accept_queue.length', type: 'gauge', help: 'Connections in the kernel that this server has not accepted yet' }
const overflows: Instrument = { name: 'fastify.accept_queue.overflows', type: 'counter', help: 'Connections that the kernel turned away because a queue was full, of the whole network namespace' }

const LISTEN = '0A'

/** Sum over the LISTEN rows of these ports, in the text of /proc/net/tcp or tcp6; undefined when none has a row. */
export function queued (text: string, ports: ReadonlySet<number>): number | undefined {
  let sum: number | undefined
  for (const line of text.split('\n')) {
    //  sl  local_address rem_address   st tx_queue:rx_queue …
    const [, local = '', , state, queues = ''] = line.trim().split(/\s+/)
    if (state !== LISTEN || !ports.has(parseInt(local.slice(local.lastIndexOf(':') + 1), 16))) continue
    sum = (sum ?? 0) + parseInt(queues.slice(queues.indexOf(':') + 1), 16)
  }
  return sum
}

/** `ListenOverflows` of /proc/net/netstat: a line of names, and one of values below it. */
export function listenOverflows (text: string): number | undefined {
  const [names, values] = text.split('\n').filter(line => line.startsWith('TcpExt:')).map(line => line.split(' '))
  const at = names?.indexOf('ListenOverflows') ?? -1
  return at < 0 ? undefined : Number(values?.[at])
}

const CHUNK = 16 * 1024
/** Rows of 150 bytes: far more listeners than a host has. */
const MOST = 16 * CHUNK

/** The kernel lists listeners first, so what follows the first other row, perhaps 100,000 of them, is left unread. */
function listeners (file: string): string {
  let handle
  try {
    handle = openSync(file, 'r')
    const buffer = Buffer.allocUnsafe(CHUNK)
    let text = ''
    while (text.length < MOST) {
      const read = readSync(handle, buffer)
      text += buffer.toString('latin1', 0, read)
      const states = text.split('\n').slice(1, -1).map(line => line.trim().split(/\s+/)[3])
      if (read === 0 || states.some(state => state !== LISTEN)) break
    }
    return text
  } catch {
    return ''
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}

/** Nothing where there is no /proc. procfs never waits for a disk, so it is read in place. */
export function registerAcceptQueue (instruments: Instruments, ports: () => ReadonlySet<number>): void {
  if (process.platform !== 'linux') return
  instruments.add(length, add => {
    const own = ports()
    const queues = ['/proc/net/tcp', '/proc/net/tcp6'].map(file => queued(listeners(file), own)).filter(queue => queue !== undefined)
    if (queues.length > 0) add(queues.reduce((sum, queue) => sum + queue, 0))
  })
  instruments.add(overflows, add => {
    try {
      const value = listenOverflows(readFileSync('/proc/net/netstat', 'latin1'))
      if (value !== undefined) add(value)
    } catch {}
  })
}
