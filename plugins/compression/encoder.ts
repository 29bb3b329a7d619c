// Encodes bodies that are whole, in one shot, and opens the contexts for bodies that stream. It keeps brotli from its
// own default quality of 11, which takes a hundred times as long as 4.
import zlib, { constants, type BrotliOptions, type ZlibOptions } from 'node:zlib'
import type { Transform } from 'node:stream'
import { ENCODINGS, type Encoding } from './negotiation.ts'

export interface EncoderOptions {
  brotliOptions: BrotliOptions | undefined
  zlibOptions: ZlibOptions | undefined
  /** A replacement of node:zlib, as a whole or in part. */
  zlib: unknown
}

type OneShot = (body: string | Buffer, options: object, done: (error: Error | null, bytes: Buffer) => void) => void
type OneShotSync = (body: string | Buffer, options: object) => Buffer
type CreateStream = (options: object) => Transform

const METHODS = {
  zstd: { create: 'createZstdCompress', once: 'zstdCompress', sync: 'zstdCompressSync' },
  br: { create: 'createBrotliCompress', once: 'brotliCompress', sync: 'brotliCompressSync' },
  gzip: { create: 'createGzip', once: 'gzip', sync: 'gzipSync' },
  deflate: { create: 'createDeflate', once: 'deflate', sync: 'deflateSync' }
} satisfies Record<Encoding, object>

/** What this Node can do: zstd came with 22.15 and 23.8. */
export const AVAILABLE: readonly Encoding[] = ENCODINGS.filter(encoding => METHODS[encoding].create in zlib)

const BROTLI_QUALITY = 4

/**
 * Under pressure, unless the app has set a level. Measured on 200 KB of JSON, against the usual level: gzip takes 0.31
 * of the CPU time and 1.13 of the bytes, brotli 0.29 and as many.
 */
const HASTY_LEVEL = 1

interface Codec {
  options: object
  hastyOptions: object
  create: CreateStream
  /** Absent when the user's zlib replaces the stream and has no one-shot function: then whole bodies stream as well. */
  once: OneShot | undefined
  sync: OneShotSync | undefined
}

export class Encoder {
  readonly #codecs = new Map<Encoding, Codec>()

  /** Throws what node:zlib throws for options that it does not take; a replacement of it is not called before there is a body. */
  constructor ({ brotliOptions, zlibOptions, zlib: custom }: EncoderOptions) {
    for (const encoding of AVAILABLE) {
      const options = encoding === 'br' ? brotli(brotliOptions) : encoding === 'zstd' ? zstd(zlibOptions) : { ...zlibOptions }
      const hastyOptions = encoding === 'br' ? brotli(brotliOptions, HASTY_LEVEL) : encoding === 'zstd' ? hastyZstd(options) : { level: HASTY_LEVEL, ...zlibOptions }
      const codec = codecOf(encoding, options, hastyOptions, (custom ?? {}) as Record<string, any>)
      if (codec.sync === (zlib as any)[METHODS[encoding].sync]) codec.sync?.('', options)
      this.#codecs.set(encoding, codec)
    }
  }

  /** False when the body has to go through a stream. */
  isOneShot (encoding: Encoding): boolean {
    const { once, sync } = this.#codecs.get(encoding)!
    return once !== undefined && sync !== undefined
  }

  /** `hasty` takes a lower level. */
  encodeSync (encoding: Encoding, body: string | Buffer, hasty = false): Buffer {
    const { sync, options, hastyOptions } = this.#codecs.get(encoding)!
    return sync!(body, hasty ? hastyOptions : options)
  }

  /** Leaves the event loop to others: the work is done on libuv's threads. */
  encode (encoding: Encoding, body: string | Buffer, hasty: boolean, done: (error: Error | null, bytes: Buffer) => void): void {
    const { once, options, hastyOptions } = this.#codecs.get(encoding)!
    once!(body, hasty ? hastyOptions : options, done)
  }

  createStream (encoding: Encoding, hasty = false): Transform {
    const { create, options, hastyOptions } = this.#codecs.get(encoding)!
    return create(hasty ? hastyOptions : options)
  }
}

function brotli (options: BrotliOptions = {}, quality = BROTLI_QUALITY): BrotliOptions {
  return { ...options, params: { [constants.BROTLI_PARAM_QUALITY]: quality, ...options.params } }
}

/** Of zlib's options only the chunk size means the same to zstd. */
function zstd ({ chunkSize }: ZlibOptions = {}): object {
  return chunkSize === undefined ? {} : { chunkSize }
}

function hastyZstd (options: object): object {
  return { ...options, params: { [(constants as any).ZSTD_c_compressionLevel]: HASTY_LEVEL } }
}

function codecOf (encoding: Encoding, options: object, hastyOptions: object, custom: Record<string, any>): Codec {
  const { create, once, sync } = METHODS[encoding]
  const own = zlib as unknown as Record<string, any>
  const ownStream = typeof custom[create] !== 'function'
  return {
    options,
    hastyOptions,
    create: ownStream ? own[create] : custom[create],
    once: typeof custom[once] === 'function' ? custom[once] : ownStream ? own[once] : undefined,
    sync: typeof custom[sync] === 'function' ? custom[sync] : ownStream ? own[sync] : undefined
  }
}
