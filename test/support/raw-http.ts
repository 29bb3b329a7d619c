// A client that is nothing but a socket: what inject() hides (aborts, timeouts, close, pipelining) shows only here.
import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

export interface RawReply { status: number, headers: Record<string, string>, body: string }

export async function listen (app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

export class RawClient {
  readonly socket: net.Socket
  readonly closed: Promise<void>
  #received = Buffer.alloc(0)
  #waiting: (() => void) | undefined

  private constructor (socket: net.Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', data => {
      this.#received = Buffer.concat([this.#received, data])
      this.#waiting?.()
    })
    this.closed = new Promise(resolve => socket.once('close', () => {
      this.#waiting?.()
      resolve()
    }))
  }

  static async connect (port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = net.connect(port, host)
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  send (text: string | Buffer): this {
    this.socket.write(text)
    return this
  }

  get (path: string, headers = ''): this {
    return this.send(`GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`)
  }

  post (path: string, body: string, headers = ''): this {
    return this.send(`POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`)
  }

  get received (): Buffer {
    return this.#received
  }

  /** Resolves when `done` is true of what came in so far; rejects when the server closes before. */
  async until (done: (received: Buffer) => boolean): Promise<void> {
    while (!done(this.#received)) {
      if (this.socket.destroyed) throw new Error(`closed after ${JSON.stringify(this.#received.toString('latin1').slice(0, 300))}`)
      await new Promise<void>(resolve => { this.#waiting = resolve })
    }
  }

  /** The next whole reply, by Content-Length or chunks. */
  async reply (): Promise<RawReply> {
    let parsed: { reply: RawReply, length: number } | undefined
    await this.until(received => (parsed = parseReply(received)) !== undefined)
    this.#received = this.#received.subarray(parsed!.length)
    return parsed!.reply
  }

  /** Ends with an RST, as a crashed client or an impatient proxy does. */
  reset (): void {
    this.socket.resetAndDestroy()
  }

  end (): void {
    this.socket.destroy()
  }
}

function parseReply (received: Buffer): { reply: RawReply, length: number } | undefined {
  const headEnd = received.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const [statusLine, ...lines] = received.toString('latin1', 0, headEnd).split('\r\n')
  const status = Number(statusLine!.split(' ')[1])
  const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
  let at = headEnd + 4
  if (headers['transfer-encoding'] !== 'chunked') {
    const end = at + (status === 304 || status === 204 ? 0 : Number(headers['content-length'] ?? 0))
    return received.length < end ? undefined : { reply: { status, headers, body: received.toString('utf8', at, end) }, length: end }
  }
  const chunks: Buffer[] = []
  for (;;) {
    const lineEnd = received.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = parseInt(received.toString('latin1', at, lineEnd), 16)
    at = lineEnd + 2
    if (received.length < at + size + 2) return undefined
    if (size === 0) return { reply: { status, headers, body: Buffer.concat(chunks).toString() }, length: at + 2 }
    chunks.push(received.subarray(at, at + size))
    at += size + 2
  }
}

/** Resolves as soon as `condition` holds, looking again at every turn of the loop; for states that no event tells. */
export async function eventually (condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5_000
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** A promise with its resolver, for handlers that a test lets go on. */
export function deferred<T = void> (): { promise: Promise<T>, resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
