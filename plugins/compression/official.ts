// The adapter to @fastify/compress: it is registered on a stand-in, so that its hooks never reach the app, and does the
// work of streams and of telling compressible types. Its defects end here: text that looks compressed, contexts that
// outlive an aborted reply, a media type table that counts event streams in.
import type { Transform } from 'node:stream'
import compress, { type FastifyCompressOptions } from '@fastify/compress'
import type { FastifyReply } from 'fastify'
import type { ContextBudget } from './context-budget.ts'
import type { Encoder } from './encoder.ts'
import type { Encoding } from './negotiation.ts'
import type { Savings } from './savings.ts'

type Done = (error?: Error | null, payload?: unknown) => void
type OnSend = (request: { headers: Record<string, string> }, reply: unknown, payload: unknown, done: Done) => void

/** The onSend hook that @fastify/compress would attach to a route. */
function officialHook (options: FastifyCompressOptions): OnSend {
  const route: { onSend?: OnSend[] } = {}
  const standIn = {
    decorateReply () {},
    addHook (_onRoute: string, attach: (route: object) => void) { attach(route) }
  }
  compress.fastifyCompress(standIn as any, { ...options, globalDecompression: false }, failed => { if (failed) throw failed })
  return route.onSend![0]!
}

/**
 * @fastify/compress reads a stream's first ten bytes and, where they look like gzip or zlib, passes the stream through
 * under the label of the coding that was asked for (fastify-compress#347: text that begins with "x "). So the first
 * ten bytes that it gets to read are these, and the encoder leaves them out.
 */
const SNIFFED = Buffer.alloc(10)

/** Types that are asked about once each; a proxy may pass on any number of them. */
const REMEMBERED_TYPES = 256

export interface OfficialOptions {
  customTypes: FastifyCompressOptions['customTypes']
  removeContentLengthHeader: boolean
}

export class Official {
  readonly #encode: OnSend
  readonly #inflate: OnSend
  readonly #probe: OnSend
  readonly #types = new Map<string, boolean>()
  /** The context that the hook has just opened: it does so while `encode` writes the first bytes. */
  #opened: Transform | undefined = undefined
  /** The level that it is to open it with. */
  #hasty = false

  constructor ({ customTypes, removeContentLengthHeader }: OfficialOptions, encoder: Encoder, savings: Savings) {
    const open = (encoding: Encoding) => () => {
      this.#opened = counted(withoutSniffed(encoder.createStream(encoding, this.#hasty)), savings)
      return this.#opened
    }
    this.#encode = officialHook({
      customTypes,
      removeContentLengthHeader,
      zlib: { createGzip: open('gzip'), createDeflate: open('deflate'), createBrotliCompress: open('br'), createZstdCompress: open('zstd') }
    })
    this.#inflate = officialHook({ inflateIfDeflated: true })
    this.#probe = officialHook({ customTypes, threshold: 0, syncThreshold: 1, encodings: ['gzip'] })
  }

  /** What @fastify/compress says of the media type, by its table and `customTypes`. */
  isCompressible (type: string): boolean {
    let compressible = this.#types.get(type)
    if (compressible === undefined) {
      if (this.#types.size >= REMEMBERED_TYPES) this.#types.clear()
      compressible = this.#ask(type)
      this.#types.set(type, compressible)
    }
    return compressible
  }

  /** It answers by encoding an empty body of that type, or not. */
  #ask (type: string): boolean {
    let encoded = false
    const reply = {
      statusCode: 200,
      getHeader: (name: string) => name.toLowerCase() === 'content-type' ? type : undefined,
      hasHeader: () => false,
      header (name: string) { if (name.toLowerCase() === 'content-encoding') encoded = true }
    }
    this.#probe({ headers: { 'accept-encoding': 'gzip' } }, reply, '', () => {})
    return encoded
  }

  /**
   * Encodes a stream. The context's place in the budget, which the caller took, is given back when the reply has
   * ended or its client is gone.
   */
  encode (encoding: Encoding, hasty: boolean, reply: FastifyReply, payload: unknown, budget: ContextBudget, done: Done): void {
    this.#encode({ headers: { 'accept-encoding': encoding } }, reply, payload, (error, stream) => {
      const encoded = stream as Transform
      if (error != null || encoded === payload) {
        budget.give()
        done(error, stream)
        return
      }
      this.#hasty = hasty
      encoded.write(SNIFFED)
      const context = this.#opened
      this.#opened = undefined
      encoded.once('close', () => {
        // Left alone, the context of an aborted reply keeps its memory until the garbage collector finds it.
        context?.destroy()
        budget.give()
      })
      done(null, encoded)
    })
  }

  /** The payload decompressed, where it looks like gzip or zlib (`inflateIfDeflated`); any other as it is. */
  inflate (reply: FastifyReply, payload: unknown, done: Done): void {
    this.#inflate({ headers: {} }, reply, payload, done)
  }
}

/** Swallows the first chunk, which is `SNIFFED` and nothing else. */
function withoutSniffed (context: Transform): Transform {
  const { write } = context
  context.write = function writeSniffed (_chunk: unknown, ...rest: any[]) {
    context.write = write
    rest.at(-1)()
    return true
  }
  return context
}

/** Tells at its end what came in and what went out; a replacement of node:zlib may not know the first. */
function counted (context: Transform & { bytesWritten?: number }, savings: Savings): Transform {
  const { push } = context
  let sentBytes = 0
  context.push = function pushCounted (chunk: Buffer | null) {
    sentBytes += chunk?.length ?? 0
    return push.call(context, chunk)
  }
  context.once('close', () => {
    if (context.bytesWritten !== undefined) savings.encoded(context.bytesWritten, sentBytes)
  })
  return context
}
