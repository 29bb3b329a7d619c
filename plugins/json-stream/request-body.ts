// One request's body and how it ends: read to its end, drained, or cut off with its connection. In one place, because each
// ending that is forgotten leaves a client that waits or a socket that nobody reads.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { JsonAborted, JsonReplied } from '../shared/errors.ts'
import { streamOf } from '../shared/http2.ts'
import { endConnection, isComplete } from '../shared/reply-ends.ts'
import { resetBehindReply } from '../shared/unread-body.ts'
import { BodyReader, DRAIN_BYTES } from './body-reader.ts'
import type { JsonStream } from './json-stream.ts'

export class RequestBody {
  readonly reader: BodyReader
  readonly mediaType: string | undefined
  stream: JsonStream<unknown> | undefined
  readonly #request: IncomingMessage
  /** Bytes that the client announced; `undefined` where nobody knows how much is still to come. */
  readonly #announced: number | undefined
  #refused = false
  #tooMuch = false
  #replied = false

  constructor (reader: BodyReader, request: IncomingMessage, reply: ServerResponse, mediaType: string | undefined, announced: number | undefined) {
    this.reader = reader
    this.mediaType = mediaType
    this.#request = request
    this.#announced = announced
    const onClosed = (): void => this.#onReplyClosed(reply)
    reply.once('close', onClosed)
    // On HTTP/2 it closes with its stream, which waits for the end of the body in its turn.
    streamOf(request)?.once('finish', onClosed)
  }

  /** Nobody reads on: the handler had enough, or the body was refused, and then the connection ends with the reply unless all of the body is in and it was the content that was refused. */
  leave (refusal?: Error & { code?: string, statusCode?: number }): void {
    if (refusal !== undefined) this.#refused ||= !this.reader.complete || refusal.statusCode !== 400 || refusal.code === 'FST_SURGE_JSON_INVALID'
    this.reader.discard(this.#onTooMuch)
  }

  /** The reply goes out, and the body ends with it. Who reads still must not take that for the end of a whole one. */
  leaveUnread (): void {
    this.reader.discard(this.#onTooMuch, new JsonReplied())
  }

  /** Whether the reply that is about to be sent should end the connection. */
  get ends (): boolean {
    if (this.#refused || this.#tooMuch) return true
    return !this.reader.complete && this.#announced !== undefined && this.#announced - this.reader.wireBytes > DRAIN_BYTES
  }

  readonly #onTooMuch = (): void => {
    this.#tooMuch = true
    if (this.#replied) this.#closeConnection()
  }

  #onReplyClosed (reply: ServerResponse): void {
    if (this.#replied) return
    this.#replied = true
    if (!isComplete(reply)) this.reader.fail(new JsonAborted())
    this.leaveUnread()
    // On HTTP/1 the reply has said `Connection: close`, unless its head was out by then.
    if (this.#tooMuch || (streamOf(this.#request) !== undefined && this.ends)) this.#closeConnection()
  }

  #closeConnection (): void {
    // HTTP/2 ends the stream alone: its connection carries others.
    const stream = streamOf(this.#request)
    if (stream !== undefined) resetBehindReply(stream)
    else endConnection(this.#request)
  }
}
