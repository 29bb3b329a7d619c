// What a handler still hands over after its request was answered for it. It prevents a dropped stream from holding its file
// or connection for ever, and a late write by hand from throwing where nobody catches it: in a callback that ends the process.
import type { ServerResponse } from 'node:http'

/** Lets go of a payload that nobody will read: a stream of Node's or the web's, or a fetch Response. */
export function discard (payload: any): void {
  const stream = typeof payload?.body?.getReader === 'function' ? payload.body : payload
  if (typeof stream?.pipe === 'function' && typeof stream.destroy === 'function') {
    stream.on?.('error', noop)
    stream.destroy()
  } else if (typeof stream?.getReader === 'function' && typeof stream.cancel === 'function') {
    // A locked stream has a reader of its own.
    Promise.resolve(stream.cancel()).catch(noop)
  }
}

/**
 * Behind the next `end()`, which is the answer's own, a reply takes everything and does nothing, but calls `ended` when
 * it is ended again.
 */
export function silence (raw: ServerResponse, ended: () => void): void {
  const { end } = raw as { end: (...args: any[]) => ServerResponse }
  if (raw.writableEnded) inert()
  else raw.end = endAnswer

  function endAnswer (...args: any[]): ServerResponse {
    end.apply(raw, args)
    inert()
    return raw
  }

  function inert (): void {
    const self = (): ServerResponse => raw
    raw.writeHead = raw.setHeader = raw.appendHeader = self
    raw.removeHeader = raw.flushHeaders = noop
    raw.write = (...args: any[]) => {
      callBack(args)
      return true
    }
    raw.end = (...args: any[]) => {
      callBack(args)
      ended()
      return raw
    }
  }
}

/** Whoever waits for a write to be done is not to wait for ever. */
function callBack (args: any[]): void {
  const done = args.at(-1)
  if (typeof done === 'function') queueMicrotask(() => done())
}

function noop () {}
