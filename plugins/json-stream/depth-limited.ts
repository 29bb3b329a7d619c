// Counts how deep a body nests before Fastify's own JSON parser builds it. JSON.parse takes any depth, and whatever walks the value
// after it, as JSON.stringify or a validator does, runs out of stack: a few kilobytes of brackets would be a 500.
import { JsonBodyTooDeep } from '../shared/errors.ts'
import { decode } from './batch.ts'
import { tooDeepAt } from './scan.ts'

type Done = (error: Error | null, body?: unknown) => void
interface Logging { log: { warn: (details: object, message: string) => void } }

/**
 * A parser of Buffers before one of strings.
 * @param dryRun logs what it would refuse, and refuses nothing
 */
export function depthLimited (parse: (request: any, body: string, done: Done) => void, maxDepth: number, dryRun: boolean): (request: Logging, body: Buffer, done: Done) => void {
  // What is opened is closed again, or is no JSON.
  const shortest = 2 * (maxDepth + 1)

  return function parseJson (request, body, done) {
    const at = body.length < shortest ? -1 : tooDeepAt(body, 0, body.length, maxDepth)
    if (at !== -1) {
      const refusal = new JsonBodyTooDeep(maxDepth, at)
      if (!dryRun) return done(refusal)
      request.log.warn({ err: refusal }, 'dry run: the body would be refused')
    }
    // Fastify's own takes what is not UTF-8 for U+FFFD, and so does toString().
    parse(request, decode(body, 0, body.length) ?? body.toString(), done)
  }
}
