// A real Redis of the test's own, on a free port, that can be stopped, killed and started again.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { unusedPort } from '../../cli/unused-port.ts'

const installed = spawnSync('redis-server', ['--version']).status === 0

/** Why tests with a real Redis are skipped; false where they run, or must. */
export const skip: string | false = installed || process.env.SURGE_REQUIRE_SERVICES === '1'
  ? false
  : 'no redis-server: apt-get install redis-server'

/** A port that was unused may be taken by the time that the server listens: by a test beside this one, or a connection of its own. */
const TRIES = 5

export class RedisServer {
  readonly port: number
  readonly #folder: string
  #child: ChildProcess | undefined

  private constructor (port: number, folder: string) {
    this.port = port
    this.#folder = folder
  }

  /** @param options of the command; a function chooses ports anew each time that one was taken */
  static async start (t: Pick<TestContext, 'after'>, options: () => string[] | Promise<string[]> = () => []): Promise<RedisServer> {
    for (let tries = 1; ; tries++) {
      const server = new RedisServer(await unusedPort(), mkdtempSync(join(tmpdir(), 'surge-redis-')))
      t.after(async () => {
        await server.kill()
        rmSync(server.#folder, { recursive: true, force: true })
      })
      try {
        await server.restart(await options())
        return server
      } catch (error) {
        if (tries === TRIES || !(error as Error).message.includes('Address already in use')) throw error
      }
    }
  }

  async restart (options: string[] = []): Promise<void> {
    const child = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.#folder, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    let said = ''
    for await (const chunk of child.stdout!) {
      said += chunk
      if (said.includes('Ready to accept connections')) {
        child.stdout!.resume()
        return
      }
    }
    throw new Error(`redis-server ended before it was ready: ${said}`)
  }

  pause (): void {
    this.#child!.kill('SIGSTOP')
  }

  resume (): void {
    this.#child!.kill('SIGCONT')
  }

  async kill (): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await ended
  }
}
