// Reads a request body at the pace of its reader: one chunk may wait, and then the socket is paused. It sees a client that leaves
// or falls silent, and ends a body that nobody wants any more without reading all of it.
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Clock } from '../shared/clock.ts'
import { JsonAborted, JsonEncodingInvalid, JsonIdle, JsonRatioExceeded, JsonTooLarge } from '../shared/errors.ts'
import { streamOf } from '../shared/http2.ts'
import { RATIO_FLOOR, type Decoder } from './encodings.ts'

/** What is read and thrown away of a body that nobody wants, so that its connection can be kept. */
export const DRAIN_BYTES = 256 * 1024

/**
 * Bytes after which the event loop gets a turn. libuv reads a socket up to 32 times in a row, so a client as fast as its reader
 * would put 2 MiB of parsing between two timers: a p99 delay of 45 ms where this one has 8.
 */
const BURST_BYTES = 256 * 1024

/** What an element weighs beside its bytes: to hand out 22,000 times `{}` takes far longer than to read the 64 KiB that they came in. */
const ELEMENT_BYTES = 32
const BURST_ELEMENTS = BURST_BYTES / ELEMENT_BYTES

export interface BodyOptions {
  decoder: Decoder | undefined
  encoding: string
  maxBytes: number
  maxRatio: number
  idleTimeout: number
  clock: Clock
}

interface Waiter { resolve: (chunk: Buffer | null) => void, reject: (error: Error) => void }

export class BodyReader {
  /** The body was read to its end, by its reader or by the drain. */
  complete = false
  failure: Error | undefined
  /** Called once, when the body fails. */
  onFailure: ((error: Error) => void) | undefined
  readonly #raw: IncomingMessage
  readonly #payload: Readable
  readonly #options: BodyOptions
  readonly #source: Readable
  readonly #chunks: Buffer[] = []
  #waiter: Waiter | undefined
  #idleTimer: unknown
  #wireBytes = 0
  #decodedBytes = 0
  #burstBytes = 0
  #most = Infinity
  #lastBytes = 0
  /** Paused until the event loop has had its turn. */
  #resting = false
  #begun = false
  /** The chunk that the decoder is at. */
  #encoded!: Buffer
  /** The encoding has ended, and what else comes over the wire is behind it. */
  #behind = false
  #decoded = false
  #ended = false
  #discarding = false

  constructor (raw: IncomingMessage, payload: Readable, options: BodyOptions) {
    this.#raw = raw
    this.#payload = payload
    this.#options = options
    this.#source = options.decoder ?? payload
    // Behind the reply to a body that nobody has begun to read, Node would take all of it past every listener.
    if (streamOf(raw) === undefined && !raw.complete) raw.read(0)
    payload.pause()
    payload.on('end', this.#onWireEnd)
    payload.on('error', this.#onError)
    payload.on('close', this.#onClose)
    if (raw !== payload) raw.on('close', this.#onRawClose)
    if (options.decoder !== undefined) {
      options.decoder.pause()
      options.decoder.on('data', this.#onDecoded)
      options.decoder.on('end', this.#onDecodedEnd)
      options.decoder.on('error', this.#onDecoderError)
    }
  }

  /** Bytes that came over the wire. */
  get wireBytes (): number {
    return this.#wireBytes
  }

  /** The next chunk, or `null` at the end. Rejects when the body fails. */
  read (): Promise<Buffer | null> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const chunk = this.#resting ? undefined : this.#chunks.shift()
    if (chunk !== undefined) return Promise.resolve(this.#part(chunk))
    if (this.#ended && this.#chunks.length === 0) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
      this.#armIdle()
      this.#begin()
      if (!this.#resting && this.#source.isPaused()) this.#source.resume()
    })
  }

  /** Not before it is read or thrown away: until then, a hook that came behind may have had Fastify's parser read it. */
  #begin (): void {
    if (this.#begun) return
    this.#begun = true
    this.#payload.on('data', this.#onWire)
    if (this.#options.decoder !== undefined) this.#payload.resume()
  }

  /**
   * Nobody reads on. At most DRAIN_BYTES more are taken off the wire, so that a reply gets through and the connection
   * can serve the next request; `tooMuch` is called when that was not the end, or the end did not come within `idleTimeout`.
   * @param failure what a reader is told that would read on; without one it has reached its end
   */
  discard (tooMuch: () => void, failure?: Error): void {
    if (this.complete || this.#discarding) return
    this.#discarding = true
    if (failure !== undefined) this.fail(failure)
    this.#waiter?.resolve(null)
    this.#waiter = undefined
    this.#chunks.length = 0
    this.#disarmIdle()
    this.#options.decoder?.destroy()
    if (this.#payload.destroyed) return
    this.#begin()
    const limit = this.#wireBytes + DRAIN_BYTES
    this.#payload.on('data', () => {
      if (this.#wireBytes > limit) this.#giveUp(tooMuch)
    })
    // All of it has come in, whoever is still to pass it on: the client owes nothing.
    if (!this.#raw.complete) this.#timeDrain(tooMuch)
    this.#payload.resume()
  }

  /** Ends the body with an error from outside, such as a reply that is closed. */
  fail (error: Error): void {
    if (this.failure !== undefined) return
    this.failure = error
    this.#disarmIdle()
    const waiter = this.#waiter
    this.#waiter = undefined
    this.onFailure?.(error)
    waiter?.reject(error)
  }

  #timeDrain (tooMuch: () => void): void {
    const { clock, idleTimeout } = this.#options
    const timer = clock.setTimeout(() => this.#giveUp(tooMuch), idleTimeout)
    const over = (): void => {
      clock.clearTimeout(timer)
      socket?.off('close', over)
    }
    // Behind its reply, Node no longer tells a request that its connection has closed. An HTTP/2 stream does.
    const socket = streamOf(this.#raw) === undefined ? this.#raw.socket : undefined
    socket?.once('close', over)
    this.#payload.once('close', over)
    this.#payload.once('end', over)
  }

  #giveUp (tooMuch: () => void): void {
    if (this.complete || this.#payload.destroyed || this.#payload.isPaused()) return
    this.#payload.pause()
    tooMuch()
  }

  readonly #onWire = (chunk: Buffer | string): void => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    this.#wireBytes += bytes.length
    if (this.#discarding) return
    if (this.#options.decoder === undefined) this.#take(bytes)
    else if (this.#wireBytes > this.#options.maxBytes) this.fail(new JsonTooLarge(this.#options.maxBytes))
    else {
      this.#decode(this.#options.decoder, bytes)
      if (this.#waiter !== undefined) this.#armIdle()
    }
  }

  /** One chunk at a time, to see what the decoder leaves of it: where its encoding ends it ends, and says nothing of what is behind. */
  #decode (decoder: Decoder, chunk: Buffer): void {
    if (this.#behind) {
      this.#checkPadding(chunk)
      return
    }
    this.#payload.pause()
    this.#encoded = chunk
    decoder.write(chunk, error => {
      if (error || this.#discarding) return
      this.#checkRest(decoder)
      if (this.failure === undefined) this.#payload.resume()
    })
  }

  #checkRest (decoder: Decoder): void {
    const left = this.#wireBytes - decoder.bytesWritten
    if (left === 0 || this.#behind) return
    this.#behind = true
    this.#checkPadding(this.#encoded.subarray(-left))
  }

  /** NULs may fill up the last block of a tape, as gzip has it; of anything else, rows would be lost without a word. */
  #checkPadding (chunk: Buffer): void {
    if (chunk.some(byte => byte !== 0)) this.fail(new JsonEncodingInvalid(this.#options.encoding))
  }

  readonly #onDecoded = (chunk: Buffer): void => {
    const { maxRatio } = this.#options
    this.#decodedBytes += chunk.length
    if (this.#decodedBytes > RATIO_FLOOR && this.#decodedBytes > this.#wireBytes * maxRatio) this.fail(new JsonRatioExceeded(maxRatio))
    else this.#take(chunk)
  }

  #take (chunk: Buffer): void {
    if (this.#waiter === undefined || this.#resting) {
      // A reader that keeps up is back before the next chunk, and nothing is ever paused for it.
      this.#source.pause()
      this.#chunks.push(chunk)
    } else this.#hand(this.#waiter, chunk)
  }

  #hand (waiter: Waiter, chunk: Buffer): void {
    this.#waiter = undefined
    this.#disarmIdle()
    waiter.resolve(this.#part(chunk))
  }

  /** As much of a chunk as may be handed out at once; the rest is the next chunk. */
  #part (chunk: Buffer): Buffer {
    let part = chunk
    if (chunk.length > this.#most) {
      part = chunk.subarray(0, this.#most)
      this.#chunks.unshift(chunk.subarray(this.#most))
      this.#source.pause()
    }
    this.#lastBytes = part.length
    this.#spend(part.length)
    return part
  }

  /** The chunk read last held so many elements, which are work of their own. Where they are many, the next are cut smaller. */
  parsed (elements: number): void {
    this.#most = elements * 2 > BURST_ELEMENTS ? Math.ceil(this.#lastBytes * BURST_ELEMENTS / elements) : Infinity
    if (!this.#resting) this.#spend(elements * ELEMENT_BYTES)
  }

  #spend (bytes: number): void {
    this.#burstBytes += bytes
    if (this.#burstBytes < BURST_BYTES) return
    this.#burstBytes = 0
    this.#resting = true
    this.#source.pause()
    setImmediate(this.#goOn)
  }

  readonly #goOn = (): void => {
    this.#resting = false
    if (this.#waiter === undefined || this.#discarding) return
    const chunk = this.#chunks.shift()
    if (chunk === undefined) this.#source.resume()
    else this.#hand(this.#waiter, chunk)
  }

  readonly #onWireEnd = (): void => {
    this.complete = true
    if (this.#options.decoder === undefined || this.#decoded) this.#onEnd()
    this.#options.decoder?.end()
  }

  readonly #onDecodedEnd = (): void => {
    this.#decoded = true
    // It may come before the word that the chunk is done with.
    this.#checkRest(this.#options.decoder!)
    if (this.complete) this.#onEnd()
  }

  readonly #onEnd = (): void => {
    this.#ended = true
    this.#disarmIdle()
    if (this.#chunks.length > 0) return
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve(null)
  }

  readonly #onClose = (): void => {
    if (!this.complete) this.fail(new JsonAborted())
  }

  /** A payload made of the request may have more to give when all of the request is in. */
  readonly #onRawClose = (): void => {
    if (!this.#raw.readableEnded) this.fail(new JsonAborted())
  }

  readonly #onError = (error: Error & { statusCode?: number }): void => {
    // The error of a stream that a preParsing hook put before the body is its own; a socket's means that the client left.
    const own = this.#payload !== this.#raw && (!this.#raw.destroyed || this.#raw.readableEnded)
    // As Fastify's own parser does.
    if (own) error.statusCode ??= 400
    this.fail(own ? error : new JsonAborted())
  }

  readonly #onDecoderError = (): void => {
    this.fail(new JsonEncodingInvalid(this.#options.encoding))
  }

  #armIdle (): void {
    const { clock, idleTimeout } = this.#options
    this.#disarmIdle()
    this.#idleTimer = clock.setTimeout(() => this.fail(new JsonIdle(idleTimeout)), idleTimeout)
    // The body of an injected request comes over no socket.
    clock.hold(this.#idleTimer, true)
  }

  #disarmIdle (): void {
    if (this.#idleTimer !== undefined) this.#options.clock.clearTimeout(this.#idleTimer)
    this.#idleTimer = undefined
  }
}
