// The server under test: a command of the user's, started anew for each run in a process group of its own, so that nothing
// of it is left behind, whatever it started.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from './failure.ts'
import type { Target } from './open-loop.ts'

const READY_WITHIN_MS = 30_000
const STOPPED_WITHIN_MS = 10_000
const ASK_MS = 2_000
/** Of what it wrote to stderr, for an error message. */
const LAST_LINES = 15

const running = new Set<ServerProcess>()

/** Ends what still runs, at once: for a process that was told to end itself. */
export function killAll (): void {
  for (const server of running) server.signal('SIGKILL')
}

export interface Readings {
  /** Bytes of resident memory. */
  rss: number
  /** p99 of the event loop's delay, in milliseconds. */
  loopDelay: number
}

export class ServerProcess {
  readonly target: Target
  readonly #command: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #stderr = ''

  private constructor (command: string, target: Target, env: Record<string, string>) {
    this.target = target
    this.#command = command
    this.#child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env, PORT: String(target.port) } })
    this.#child.stderr!.on('data', data => { this.#stderr = (this.#stderr + data).slice(-10_000) })
    this.#ended = Promise.race([once(this.#child, 'exit'), once(this.#child, 'error')]).catch(() => {})
    running.add(this)
  }

  /**
   * Starts `command` with `PORT` and `env` in its environment, and resolves when it answers the target's request.
   * @throws Failure when it ends, does not answer within 30 s, or answers 400 or above
   */
  static async start (command: string, target: Omit<Target, 'port'>, port: number, env: Record<string, string>): Promise<ServerProcess> {
    if (await isListening(port)) throw new Failure(`Port ${port} is taken before \`${command}\` is started.`)
    const server = new ServerProcess(command, { ...target, port }, env)
    try {
      await server.#ready()
      return server
    } catch (err) {
      await server.stop()
      throw err
    }
  }

  async #ready (): Promise<void> {
    const { port, path, method = 'GET' } = this.target
    const end = performance.now() + READY_WITHIN_MS
    while (!await isListening(port)) {
      if (this.#isOver) throw new Failure(`\`${this.#command}\` ended before it listened on port ${port}.${this.#said()}`)
      if (performance.now() > end) throw new Failure(`\`${this.#command}\` does not listen on port ${port}. It has to listen on 127.0.0.1 at process.env.PORT; --port names another one.${this.#said()}`)
      await sleep(50)
    }
    const status = await ask(this.target).then(({ status }) => status, err => { throw new Failure(`${method} ${path} fails: ${err.message}.${this.#said()}`) })
    if (status >= 400) throw new Failure(`${method} ${path} is answered ${status}: there is nothing to measure.${this.#said()}`)
  }

  get #isOver (): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined
  }

  #said (): string {
    const lines = this.#stderr.trim().split('\n').slice(-LAST_LINES)
    return lines[0] === '' ? '' : `\nIt wrote:\n${lines.map(line => `  ${line}`).join('\n')}`
  }

  /** What the metrics endpoint of fastify-surge tells; undefined where there is none. */
  async readings (path: string): Promise<Readings | undefined> {
    const { status, body } = await ask({ port: this.target.port, path }).catch(() => ({ status: 0, body: '' }))
    if (status !== 200) return undefined
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(body)?.[1] ?? NaN)
    return { rss: value('process_memory_usage_bytes'), loopDelay: value('nodejs_eventloop_delay_p99_seconds') * 1_000 }
  }

  signal (signal: NodeJS.Signals): void {
    // The group: `npm start` is a shell, npm and the server.
    try { process.kill(-this.#child.pid!, signal) } catch {}
  }

  /** SIGTERM, and SIGKILL for what is left 10 s later. */
  async stop (): Promise<void> {
    if (!this.#isOver) {
      this.signal('SIGTERM')
      await Promise.race([this.#ended, sleep(STOPPED_WITHIN_MS, undefined, { ref: false })])
    }
    // Of a shell that is over, its children may be left.
    this.signal('SIGKILL')
    await this.#ended
    running.delete(this)
  }
}

async function isListening (port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function ask ({ port, path, method = 'GET', headers = {}, body }: Target): Promise<{ status: number, body: string }> {
  const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false, timeout: ASK_MS })
  request.on('timeout', () => request.destroy(new Error(`no reply within ${ASK_MS} ms`)))
  request.end(body)
  const [response] = await once(request, 'response') as [http.IncomingMessage]
  let text = ''
  for await (const data of response.setEncoding('utf8')) text += data
  return { status: response.statusCode!, body: text }
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
