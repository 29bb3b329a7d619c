// The server under test: a command of the user's, started anew for each run in a process group of its own, so that nothing
// of it is left behind, whatever it started.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from './failure.ts'
import type { Target } from './open-loop.ts'

const READY_WITHIN_MS = 30_000
const STOPPED_WITHIN_MS = 10_000
const GONE_WITHIN_MS = 2_000
const LOOK_EVERY_MS = 20
/** For one reply, its end included. */
const ASK_MS = 5_000
/** Of what it wrote, for an error message. */
const LAST_LINES = 15

const running = new Set<ServerProcess>()

/** Ends what still runs, at once: for a process that ends itself. */
export function killAll (): void {
  for (const server of running) {
    server.signal('SIGKILL')
    server.forget()
  }
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
  readonly #directory = mkdtempSync(join(tmpdir(), 'fastify-surge-'))

  private constructor (command: string, target: Target, env: Record<string, string>) {
    this.target = target
    this.#command = command
    // To a file: reading what a server logs would be work for the generator, and a pipe is held open by whatever it started.
    const log = openSync(this.#log, 'w')
    this.#child = spawn(command, { shell: true, detached: true, stdio: ['ignore', log, log], env: { ...process.env, ...env, PORT: String(target.port) } })
    this.#child.on('error', () => {})
    closeSync(log)
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
      await server.stop().catch(() => {})
      throw err
    }
  }

  async #ready (): Promise<void> {
    const { port, path, method = 'GET' } = this.target
    const end = performance.now() + READY_WITHIN_MS
    for (; !await isListening(port); await sleep(LOOK_EVERY_MS)) {
      this.assertAlive(`before it listened on port ${port}`)
      if (performance.now() > end) throw new Failure(`\`${this.#command}\` does not listen on port ${port}. It has to listen on 127.0.0.1 at process.env.PORT; --port names another one.${this.#said()}`)
    }
    for (;; await sleep(LOOK_EVERY_MS)) {
      const answer = await ask(this.target).then(({ status }) => status, (err: Error) => err)
      if (typeof answer === 'number' && answer < 400) return
      this.assertAlive(`before it answered ${method} ${path}`)
      if (performance.now() < end && isPassing(answer)) continue
      throw new Failure(`${method} ${path} ${answer instanceof Error ? `fails: ${answer.message}` : `is answered ${answer}: there is nothing to measure`}.${this.#said()}`)
    }
  }

  /** @throws Failure when it is over */
  assertAlive (when: string): void {
    if (!this.#lives) throw new Failure(`\`${this.#command}\` ended ${when}.${this.#said()}`)
  }

  /** The shell, or what it has started. */
  get #lives (): boolean {
    const { pid, exitCode, signalCode } = this.#child
    return pid !== undefined && ((exitCode === null && signalCode === null) || hasGroup(pid))
  }

  get #log (): string {
    return join(this.#directory, 'log')
  }

  #said (): string {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, 'utf8').slice(-10_000).trim().split('\n').slice(-LAST_LINES) : ['']
    return lines[0] === '' ? '' : `\nIt wrote:\n${lines.map(line => `  ${line}`).join('\n')}`
  }

  /** What the metrics endpoint of fastify-surge tells; undefined where there is none. */
  async readings (path: string): Promise<Readings | undefined> {
    const { port, headers } = this.target
    const { status, body } = await ask({ port, path, headers }).catch(() => ({ status: 0, body: '' }))
    if (status !== 200) return undefined
    const value = (name: string): number => Number(new RegExp(`^${name} (\\d\\S*)`, 'm').exec(body)?.[1] ?? NaN)
    return { rss: value('process_memory_usage_bytes'), loopDelay: value('nodejs_eventloop_delay_p99_seconds') * 1_000 }
  }

  signal (signal: NodeJS.Signals): void {
    // The group: `npm start` is a shell, npm and the server.
    try { process.kill(-this.#child.pid!, signal) } catch {}
  }

  /**
   * SIGTERM, and SIGKILL for what is left 10 s later.
   * @throws Failure when something that left the group still listens
   */
  async stop (): Promise<void> {
    this.signal('SIGTERM')
    for (const end = performance.now() + STOPPED_WITHIN_MS; this.#lives && performance.now() < end;) await sleep(LOOK_EVERY_MS)
    this.signal('SIGKILL')
    while (this.#lives) await sleep(LOOK_EVERY_MS)
    this.forget()
    // A process whose other threads are still ending looks like a zombie, and has its sockets.
    for (const end = performance.now() + GONE_WITHIN_MS; await isListening(this.target.port); await sleep(LOOK_EVERY_MS)) {
      if (performance.now() > end) throw new Failure(`\`${this.#command}\` has left its process group and still listens on port ${this.target.port}: end it yourself.`)
    }
  }

  forget (): void {
    running.delete(this)
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Of a server that may not be ready yet. */
function isPassing (answer: number | Error): boolean {
  return answer === 503 || (answer instanceof Error && !(answer instanceof Failure) && (answer as NodeJS.ErrnoException).code?.startsWith('HPE_') !== true)
}

/** Whether anything of a process group lives; a zombie, which some init is yet to wait for, does not. */
function hasGroup (group: number): boolean {
  try {
    process.kill(-group, 0)
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
  let processes: string[]
  try {
    processes = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  } catch {
    return true
  }
  return processes.some(pid => {
    try {
      // pid (name) state parent group …; the name may hold anything.
      const [state, , of] = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
      return Number(of) === group && state !== 'Z' && state !== 'X'
    } catch {
      return false
    }
  })
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

function ask ({ port, path, method = 'GET', headers = {}, body }: Target): Promise<{ status: number, body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })
    const timer = setTimeout(() => request.destroy(new Error(`no whole reply within ${ASK_MS} ms`)), ASK_MS)
    // Also behind the reply, where it says that there was more than one.
    request.on('error', reject)
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      reject(new Failure(`it is answered ${response.statusCode}, which is another protocol`))
    })
    request.on('close', () => {
      clearTimeout(timer)
      reject(new Error('the connection was closed'))
    })
    request.on('response', response => {
      let text = ''
      response.setEncoding('utf8').on('data', data => { text += data }).on('error', reject).on('end', () => resolve({ status: response.statusCode!, body: text }))
    })
    request.end(body)
  })
}
