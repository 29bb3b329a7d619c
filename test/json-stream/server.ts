// A server on 127.0.0.1 with the plugin, and raw clients that behave as no library would.
import net from 'node:net'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import jsonStream, { type JsonStreamOptions } from '../../plugins/json-stream/index.ts'

export async function listen (t: TestContext, declare: (app: FastifyInstance) => void, options: JsonStreamOptions = {}, server: FastifyServerOptions = {}): Promise<{ app: FastifyInstance, port: number, url: string }> {
  const app = Fastify({ forceCloseConnections: true, ...server })
  t.after(() => app.close())
  await app.register(jsonStream, options)
  declare(app)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url, port: Number(new URL(url).port) }
}

export class RawClient {
  readonly socket: net.Socket
  received = ''
  readonly closed: Promise<void>

  constructor (port: number) {
    this.socket = net.connect(port, '127.0.0.1')
    this.socket.on('data', chunk => { this.received += chunk.toString('latin1') })
    this.socket.on('error', () => {})
    this.closed = new Promise(resolve => this.socket.once('close', () => resolve()))
  }

  /** Sends the header of a chunked POST. */
  start (path: string, headers: Record<string, string> = {}): void {
    const all = { host: 'localhost', 'content-type': 'application/json', 'transfer-encoding': 'chunked', ...headers }
    this.socket.write(`POST ${path} HTTP/1.1\r\n${Object.entries(all).filter(([, value]) => value !== '').map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  }

  chunk (data: string | Buffer): boolean {
    const bytes = Buffer.from(data as string)
    return this.socket.write(Buffer.concat([Buffer.from(bytes.length.toString(16) + '\r\n'), bytes, Buffer.from('\r\n')]))
  }

  end (): void {
    this.socket.write('0\r\n\r\n')
  }

  /** Until what was received matches. */
  async until (pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.socket.destroyed) throw new Error(`closed before ${pattern}: ${this.received}`)
      await Promise.race([once(this.socket, 'data'), this.closed])
    }
    return this.received
  }
}

/** A promise and what settles it. */
export function deferred<T = void> (): { promise: Promise<T>, resolve: (value: T) => void } {
  let settle!: (value: T) => void
  const promise = new Promise<T>(resolve => { settle = resolve })
  return { promise, resolve: settle }
}
