// Whether a function of the app's has answered. Fastify tells once the reply is written only, which onSend hooks of the app may
// put off: it prevents a second answer behind one that is still on its way.
import type { FastifyReply } from 'fastify'

/** True of what it returns as soon as somebody has called `reply.send()` since, hijacked the reply or written it by hand. */
export function watchSend (reply: FastifyReply): () => boolean {
  const { send } = reply
  let sent = false
  reply.send = function watchedSend (payload?: unknown) {
    sent = true
    reply.send = send
    return send.call(reply, payload)
  }
  return () => sent || reply.sent
}
