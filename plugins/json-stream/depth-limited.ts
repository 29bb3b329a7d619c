// Counts how deep a body nests before Fastify's own JSON parser builds it. JSON.parse takes any depth, and whatever walks the value
// after it, as JSON.stringify or a validator does, runs out of stack: a few kilobytes of brackets would be a 500.
import { JsonBodyTooDeep } from '../shared/errors.ts'
import { tooDeepIn } from './depth.ts'

type Done = (error: Error | null, body?: unknown) => void
type Parse = (request: any, body: string, done: Done) => void

/**
 * Looks at the string that Fastify has made of the body, which is the one that is parsed: no encoding can hide a bracket from it.
 * @param dryRun logs what it would refuse, and refuses nothing
 */
export function depthLimited (parse: Parse, maxDepth: number, dryRun: boolean): Parse {
  // What is opened is closed again, or is no JSON.
  const shortest = 2 * (maxDepth + 1)

  return function parseJson (request, body, done) {
    const at = body.length < shortest ? -1 : tooDeepIn(body, maxDepth)
    if (at !== -1) {
      const refusal = new JsonBodyTooDeep(maxDepth, Buffer.byteLength(body.substring(0, at)))
      if (!dryRun) return done(refusal)
      request.log.warn({ err: refusal }, 'dry run: the body would be refused')
    }
    parse(request, body, done)
  }
}
