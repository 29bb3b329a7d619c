// The content encodings that a request body may come in, as far as this Node decodes them.
import zlib from 'node:zlib'
import type { Transform } from 'node:stream'

export type BodyEncoding = 'gzip' | 'br' | 'zstd'

/** Decoded bytes below which a compressed body's ratio says nothing. */
export const RATIO_FLOOR = 1024 * 1024

/** Counts the encoded bytes that it has made use of. */
export type Decoder = Transform & { readonly bytesWritten: number }

const CHUNK = { chunkSize: 64 * 1024 }

const decoders: Record<BodyEncoding, (() => Decoder) | undefined> = {
  gzip: () => zlib.createGunzip(CHUNK),
  br: () => zlib.createBrotliDecompress(CHUNK),
  zstd: tellsCutZstd() ? () => (zlib as any).createZstdDecompress(CHUNK) : undefined
}

/** Node has it from 22.15 on, and on 22 it takes a body that is cut off for a whole one: lines would be lost without a word. */
function tellsCutZstd (): boolean {
  const { zstdCompressSync, zstdDecompressSync } = zlib as any
  if (zstdDecompressSync === undefined) return false
  try {
    zstdDecompressSync(zstdCompressSync('1').subarray(0, -1))
    return false
  } catch {
    return true
  }
}

export function availableEncodings (): BodyEncoding[] {
  return (Object.keys(decoders) as BodyEncoding[]).filter(encoding => decoders[encoding] !== undefined)
}

/**
 * The decoder that a Content-Encoding asks for: `undefined` for none, `null` for one that is not allowed here. Encodings
 * on top of each other are not: each would multiply the ratio of the other.
 */
export function decoderFor (header: string | undefined, allowed: readonly BodyEncoding[]): Decoder | undefined | null {
  const name = header?.trim().toLowerCase()
  if (name === undefined || name === '' || name === 'identity') return undefined
  // RFC 9110 section 8.4.1.3: x-gzip is gzip.
  const encoding = allowed.find(encoding => encoding === name || (encoding === 'gzip' && name === 'x-gzip'))
  return encoding === undefined ? null : decoders[encoding]!()
}
