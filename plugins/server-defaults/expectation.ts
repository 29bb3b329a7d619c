// Holds back `100 Continue` until somebody reads the body. Node sends it before any hook runs, so that a client which is
// then refused has sent its body for nothing.
import type { IncomingMessage, ServerResponse } from 'node:http'

interface Held extends IncomingMessage { _read: (size: number) => void }

/** `res.writeContinue()` runs at the first read of `req`, and not at all once a reply is on its way; `sent` follows it. */
export function holdContinue (req: IncomingMessage, res: ServerResponse, sent: () => void): void {
  const { _read } = req as Held
  ;(req as Held)._read = function readAfterContinue (size) {
    (req as Held)._read = _read
    if (!res.headersSent && !res.writableEnded && !res.destroyed) {
      res.writeContinue()
      sent()
    }
    _read.call(req, size)
  }
}
