// Feeds a body to an engine in chunks of one size and tells what came out.
import type { Engine, EngineRules } from '../../plugins/json-stream/engine.ts'

export const rules: EngineRules = {
  maxElementBytes: 1 << 20,
  maxDepth: 1_000_000,
  maxItems: Infinity,
  maxEnvelopeBytes: 64 * 1024,
  onProtoPoisoning: 'ignore',
  onConstructorPoisoning: 'ignore'
}

export const CHUNK_SIZES = [1, 2, 7, 64, Infinity]

export interface Outcome {
  values: unknown[]
  code?: string
  index?: number
  offset?: number
}

export function runEngine (engine: Engine, body: Buffer | string, chunkSize = Infinity): Outcome {
  const bytes = Buffer.from(body as string)
  const values: unknown[] = []
  for (let at = 0; at < bytes.length && engine.failure === undefined; at += chunkSize) {
    // A copy, so that an engine which kept the chunk would be found out.
    const chunk = Buffer.from(bytes.subarray(at, Math.min(at + chunkSize, bytes.length)))
    values.push(...engine.push(chunk))
    chunk.fill(0x20)
  }
  if (engine.failure === undefined) values.push(...engine.end())
  const { failure } = engine
  return failure === undefined ? { values } : { values, code: failure.code, index: failure.index, offset: failure.offset }
}

/** JSON.parse of a body that must be UTF-8: the verdict that every engine has to share. */
export function strictParse (bytes: Buffer): { valid: true, value: unknown } | { valid: false } {
  try {
    return { valid: true, value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) }
  } catch {
    return { valid: false }
  }
}
