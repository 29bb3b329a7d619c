// Counts the requests that one HTTP/1 connection has at work at the same time. It prevents a client that sends 3,000
// requests without waiting from starting 3,000 handlers over one socket.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

const kQueued = Symbol('fastify-surge.queued')

interface Line { queued: number, over: boolean }
interface Lined extends Socket { [kQueued]?: Line, _httpMessage?: QueuedReply | null }
interface QueuedReply extends ServerResponse { [kQueued]?: Line }

/** `admitted` may have a handler; `refused` gets the last reply of its connection; `ignored` comes behind that. */
export type PipelineVerdict = 'admitted' | 'refused' | 'ignored'

/** Costs one comparison where nothing is pipelined: Node gives the socket to the first reply only. */
export function pipelineVerdict (req: IncomingMessage, res: ServerResponse, limit: number): PipelineVerdict {
  return res.socket === null ? queue(req.socket, res, limit) : 'admitted'
}

function queue (socket: Lined, res: QueuedReply, limit: number): PipelineVerdict {
  const line = socket[kQueued] ??= { queued: 0, over: false }
  if (line.over) return 'ignored'
  const front = socket._httpMessage
  const others = line.queued + (front && front[kQueued] === undefined && !front.writableFinished ? 1 : 0)
  if (others >= limit) {
    line.over = true
    return 'refused'
  }
  line.queued++
  res[kQueued] = line
  res.once('close', leaveLine)
  return 'admitted'
}

function leaveLine (this: QueuedReply): void {
  this[kQueued]!.queued--
}
