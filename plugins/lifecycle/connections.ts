// Knows every open connection and what it is busy with, so that a closing server ends each as soon as it is idle.
// Node's own closeIdleConnections() takes a reply for finished once end() was called and cuts what is not flushed yet,
// takes a connection that never sent a byte for busy, and forgets those of secondary listeners. But it hears of requests that no
// hook of the suite has met, as those that Fastify or Node answers before any: what its parsers say is asked as well.

const kRequests = Symbol('fastify-surge.requests')
const kRead = Symbol('fastify-surge.read')
const kEnding = Symbol('fastify-surge.ending')

/** What is needed of a socket; a TLS socket counts what it decrypted. Its state stands on it: a map of states takes 100 bytes for each. */
export interface Connection {
  readonly bytesRead: number
  /** Bytes that the kernel has not taken yet. */
  readonly writableLength: number
  /** Its last byte is decided: it is on its way to its end. */
  readonly writableEnded: boolean
  destroy: () => unknown
  destroySoon: () => unknown
  /** Node's: the reply that is being written. */
  _httpMessage?: unknown
  /** Requests begun and not closed; undefined while nobody has added it. */
  [kRequests]?: number
  /** `bytesRead` when the last request was over: more than that is the beginning of another one. */
  [kRead]?: number
  /** A reply has said `Connection: close`. */
  [kEnding]?: boolean
}

export class Connections {
  readonly #open = new Set<Connection>()
  /** What TLS connections run on. One whose handshake is not over has nothing else, and may take its time. */
  readonly #underlying = new Set<Connection>()
  #closing = false

  get size (): number {
    return this.#open.size
  }

  add (connection: Connection): void {
    connection[kRequests] = connection[kRead] = 0
    this.#open.add(connection)
    // Its handshake took until now: it has asked for nothing yet.
    if (this.#closing) connection.destroy()
  }

  addUnderlying (connection: Connection): void {
    this.#underlying.add(connection)
  }

  deleteUnderlying (connection: Connection): void {
    this.#underlying.delete(connection)
  }

  delete (connection: Connection): void {
    this.#open.delete(connection)
  }

  /** A request began on the connection. False: a reply before it has ended the connection, and nothing is to be done for it (RFC 9112 section 9.6). */
  begin (connection: Connection): boolean {
    if (connection[kRequests] === undefined) return true
    connection[kRequests]++
    return connection[kEnding] !== true
  }

  /**
   * Whether the reply that is about to begin may say `Connection: close`. Not while others are in flight on the same
   * connection: those behind it would be cut, and those before it come first.
   */
  mayEnd (connection: Connection): boolean {
    if (connection[kRequests] === undefined) return true
    return (connection[kEnding] = connection[kRequests] <= 1)
  }

  /** A reply is over: flushed, or cut by its client. */
  end (connection: Connection): void {
    if (connection[kRequests] === undefined) return
    connection[kRequests]--
    connection[kRead] = connection.bytesRead
    if (connection[kEnding] && !connection.writableEnded) {
      // The app wrote its own head, which keeps it: for what comes next, but what came behind it meanwhile was not begun.
      if (connection[kRequests] > 0) connection.destroySoon()
      else connection[kEnding] = false
    }
    if (this.#closing) destroyIdle(connection)
  }

  /** Ends the idle connections now and every other one with its last reply. Those of which nothing is heard here are `closeIdle`'s, again and again. */
  close (unasked: Iterable<Connection> = []): void {
    this.#closing = true
    this.closeIdle(unasked)
  }

  /** @param unasked those that have no request coming in, by their parser */
  closeIdle (unasked: Iterable<Connection> = []): void {
    for (const connection of this.#open) destroyIdle(connection)
    for (const connection of unasked) {
      if (isFree(connection) && !connection._httpMessage && connection.writableLength === 0) connection.destroy()
    }
  }

  /** Ends all of them, whatever they are busy with. */
  destroy (): void {
    for (const connections of [this.#open, this.#underlying]) {
      for (const connection of connections) connection.destroy()
    }
  }
}

function destroyIdle (connection: Connection): void {
  if (isFree(connection) && connection.bytesRead === connection[kRead]) connection.destroy()
}

/** No request is at work, as far as is known here. One that lingers behind a refusal has a timer of its own, for its client to read that. */
function isFree (connection: Connection): boolean {
  return connection[kRequests] === 0 && !connection.writableEnded
}
