// A connection to an HTTP server without a kernel between: the same parser, the same replies, and no system call, whose
// cost is many times that of a hook and as unsteady as the machine. What a few microseconds more of code cost shows here.
import type { Server } from 'node:http'
import { Duplex } from 'node:stream'

type Taken = (error?: Error | null) => void

export class MemoryConnection extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly #replied: (connection: MemoryConnection) => void

  /** `replied` is called with each reply; its head and body are written as one. */
  constructor (server: Server, replied: (connection: MemoryConnection) => void) {
    super({ decodeStrings: false })
    this.#replied = replied
    server.emit('connection', this)
  }

  setTimeout (): this { return this }
  setNoDelay (): this { return this }
  setKeepAlive (): this { return this }
  ref (): this { return this }
  unref (): this { return this }
  destroySoon (): void { this.end() }

  override _read (): void {}

  override _write (chunk: string | Buffer, _encoding: unknown, taken: Taken): void {
    this.#check(chunk, taken)
  }

  override _writev (chunks: { chunk: string | Buffer }[], taken: Taken): void {
    this.#check(chunks[0]!.chunk, taken)
  }

  #check (head: string | Buffer, taken: Taken): void {
    if (!String(head).startsWith('HTTP/1.1 200')) throw new Error(String(head))
    taken()
    this.#replied(this)
  }
}

/** Sends `count` requests over so many connections, each as soon as the reply before it is there. */
export async function memoryBurst (server: Server, request: string, connections: number, count: number): Promise<void> {
  const bytes = Buffer.from(request, 'latin1')
  let left = count
  let open = 0
  await new Promise<void>(resolve => {
    function next (connection: MemoryConnection): void {
      if (left > 0) {
        left--
        open++
        // Not within the reply: a client's next request comes when the server has let go of the last one.
        setImmediate(ask, connection)
      } else {
        connection.destroy()
        if (open === 0) resolve()
      }
    }
    function ask (connection: MemoryConnection): void { connection.push(bytes) }
    function replied (connection: MemoryConnection): void {
      open--
      next(connection)
    }
    for (let i = 0; i < connections; i++) next(new MemoryConnection(server, replied))
  })
}

/** Sends `count` requests, so many a millisecond, each over a connection that is idle, and resolves with the last reply. */
export async function memoryPace (server: Server, request: string, perMs: number, count: number): Promise<void> {
  const bytes = Buffer.from(request, 'latin1')
  const idle: MemoryConnection[] = []
  let sent = 0
  await new Promise<void>(resolve => {
    let replies = 0
    function replied (connection: MemoryConnection): void {
      idle.push(connection)
      if (++replies === count) resolve()
    }
    function ask (connection: MemoryConnection): void { connection.push(bytes) }
    function tick (): void {
      for (let due = Math.min(perMs, count - sent); due > 0; due--, sent++) setImmediate(ask, idle.pop() ?? new MemoryConnection(server, replied))
      if (sent < count) setTimeout(tick, 1)
    }
    tick()
  })
  for (const connection of idle) connection.destroy()
}
