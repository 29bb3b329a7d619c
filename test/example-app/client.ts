// Starts the example in a directory of its own, in this process or as users do, and speaks to it as a client that keeps
// bytes as they come: fetch would decompress them and hide the headers that tell.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { AppOptions } from '../../example-app/app.ts'
import { assertBuilt } from '../support/built.ts'
import { listen } from '../support/raw-http.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

export interface Reply { status: number, headers: http.IncomingHttpHeaders, body: Buffer }

assertBuilt()
// Not before: it cannot be loaded without dist.
const { buildApp } = await import('../../example-app/app.ts')

const EXAMPLE = join(import.meta.dirname, '../../example-app')

export async function start (t: TestContext, options: Partial<AppOptions> = {}): Promise<{ app: FastifyInstance, port: number }> {
  const app = await buildApp({ dataDir: options.dataDir ?? await temporaryDir(t), ...options })
  t.after(() => app.close())
  return { app, port: await listen(app) }
}

/** Each request has a connection of its own. A body that is an iterable goes out in chunks, as fast as it is read. */
export async function request (port: number, path: string, { method = 'GET', headers = {}, body }: { method?: string, headers?: http.OutgoingHttpHeaders, body?: string | Iterable<string> } = {}): Promise<Reply> {
  const sent = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })
  const replied = once(sent, 'response') as Promise<[http.IncomingMessage]>
  if (body === undefined || typeof body === 'string') sent.end(body)
  else await Promise.race([pipeline(Readable.from(body), sent), replied])
  const [reply] = await replied
  return { status: reply.statusCode!, headers: reply.headers, body: Buffer.concat(await reply.toArray()) }
}

export function importOf (port: number, type: 'json' | 'x-ndjson', body: string | Iterable<string>, query = ''): Promise<Reply> {
  return request(port, `/products/import${query}`, { method: 'POST', headers: { 'content-type': `application/${type}` }, body })
}

/** Runs server.ts, and resolves when it has told its URL or ended. */
export async function startServer (t: TestContext, env: NodeJS.ProcessEnv): Promise<{ child: ChildProcess, port: number, output: () => string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'server.ts'], { cwd: EXAMPLE, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => { child.kill('SIGKILL') })
  let output = ''
  let port = 0
  const told = new Promise<void>(resolve => {
    function read (data: Buffer): void {
      output += data
      port ||= Number(/listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1] ?? 0)
      if (port > 0) resolve()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('close', () => resolve())
  })
  await told
  return { child, port, output: () => output }
}
