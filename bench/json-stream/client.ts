// Starts the server processes and sends them bodies over HTTP on 127.0.0.1: a core for the servers, as each has where one runs a
// process a core, and one for their client.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { pinnedTo, pinSelf } from '../support/pinned.ts'

export interface Server {
  port: number
  /** Milliseconds of processor time, the garbage collector's threads included. */
  cpu: () => Promise<number>
  stop: () => void
}

const CHUNK = 64 * 1024
const SERVER_CORE = 0
const CLIENT_CORE = 1

pinSelf(CLIENT_CORE)

export async function start (reader: string, flags: string[] = []): Promise<Server> {
  const child: ChildProcess = fork(new URL('./server.ts', import.meta.url), [reader], pinnedTo(SERVER_CORE, flags))
  const [port] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => { throw new Error(`the server for ${reader} ended`) })
  ]) as [number]
  return {
    port,
    async cpu () {
      child.send('cpu')
      const [cpu] = await once(child, 'message') as [number]
      return cpu / 1000
    },
    stop: () => child.kill()
  }
}

/** Sends the chunks and returns the reply; the client keeps what it has to until the socket takes more. */
export async function send (server: Server, chunks: Iterable<Buffer>, length: number | undefined, path = '/'): Promise<any> {
  const request = http.request({ port: server.port, host: '127.0.0.1', method: 'POST', path, agent: false, headers: { 'content-type': 'application/json', ...(length === undefined ? {} : { 'content-length': length }) } })
  const replied = once(request, 'response')
  for (const chunk of chunks) {
    if (!request.write(chunk)) await Promise.race([once(request, 'drain'), replied])
  }
  request.end()
  const [response] = await replied as [http.IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${text}`)
  return JSON.parse(text)
}

export function * slices (body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += CHUNK) yield body.subarray(at, at + CHUNK)
}
