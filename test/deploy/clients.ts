// Clients of a balancer, over kept connections, who count what they get.
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export const CLIENTS = 30

/** Status of `GET /`, 0 when its body is not whole. */
export function get (port: number, agent?: http.Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    http.get({ port, host: '127.0.0.1', agent }, reply => {
      let text = ''
      reply.on('data', data => { text += data }).on('error', reject).on('end', () => resolve(text === 'whole' ? reply.statusCode! : reply.statusCode === 200 ? 0 : reply.statusCode!))
    }).on('error', reject)
  })
}

/** Clients that ask again as soon as they are answered. */
export class Load {
  whole = 0
  readonly failures: string[] = []
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS })
  readonly #clients: Promise<void[]>
  #over = false

  constructor (port: number) {
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (!this.#over) {
        await get(port, this.#agent).then(status => {
          if (status === 200) this.whole++
          else this.failures.push(`status ${status}`)
        }, error => { this.failures.push(String(error)) })
      }
    }))
  }

  /** So many more good replies. */
  async more (count: number): Promise<void> {
    for (const goal = this.whole + count; this.whole < goal;) await sleep(10)
  }

  async stop (): Promise<void> {
    this.#over = true
    await this.#clients
    this.#agent.destroy()
  }
}
