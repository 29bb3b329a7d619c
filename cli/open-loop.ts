// An open-loop load generator: requests go out when they are due, whether or not the server answers, and latency counts from
// that moment. It prevents what a closed loop does to a slow server: ask less of it, and call the result its speed.
import http from 'node:http'
import { poisson, seeded } from './arrivals.ts'

export interface Target {
  port: number
  path: string
  /** @default 'GET' */
  method?: string
  headers?: Record<string, string | string[]>
  body?: string
}

export interface Plan {
  target: Target
  perSecond: number
  /** Milliseconds that it lasts. */
  ms: number
  /** Milliseconds behind which a client gives up. */
  timeout: number
  /** Of the Poisson arrivals: the same seed is the same traffic. */
  seed: number
}

export const PENDING = -2
export const TIMED_OUT = -1
/** The connection failed, or was cut before the reply was whole. */
export const BROKEN = 0

/** An array a column, a row a request, in order of sending. */
export interface Requests {
  /** When it was due, in milliseconds since the start. */
  due: Float64Array
  /** Milliseconds from due to sent. */
  late: Float64Array
  /** Milliseconds from due to the end: the reply's last byte, the timeout or the error. */
  latency: Float64Array
  /** Of the reply, or one of the constants above. */
  status: Int16Array
}

const TICK_MS = 1

export class OpenLoop {
  readonly #plan: Plan
  readonly #requests: Requests
  readonly #agent = new http.Agent({ keepAlive: true, maxFreeSockets: 10_000 })
  readonly #out: Array<http.ClientRequest | undefined>
  #next = 0
  /** The first that may still be waited for. */
  #oldest = 0
  #pending = 0
  #began = 0
  #finish: () => void = () => {}

  constructor (plan: Plan) {
    this.#plan = plan
    const due = Float64Array.from(poisson([plan], seeded(plan.seed)))
    this.#requests = { due, late: new Float64Array(due.length), latency: new Float64Array(due.length), status: new Int16Array(due.length).fill(PENDING) }
    this.#out = Array.from(due, () => undefined)
  }

  /** Resolves when everything that was sent has ended. */
  async run (): Promise<Requests> {
    this.#began = performance.now()
    await new Promise<void>(resolve => {
      this.#finish = resolve
      this.#tick()
    })
    this.#agent.destroy()
    return this.#requests
  }

  readonly #tick = (): void => {
    const { due } = this.#requests
    let now = this.#now()
    for (; this.#next < due.length && due[this.#next]! <= now; now = this.#now()) this.#send(this.#next++)
    this.#expire(now)
    if (this.#next === due.length && this.#pending === 0) this.#finish()
    else setTimeout(this.#tick, TICK_MS)
  }

  #now (): number {
    return performance.now() - this.#began
  }

  #send (id: number): void {
    this.#requests.late[id] = this.#now() - this.#requests.due[id]!
    this.#pending++
    this.#ask(id, false)
  }

  #ask (id: number, again: boolean): void {
    const { port, path, method = 'GET', headers = {}, body } = this.#plan.target
    const request = this.#out[id] = http.request({ host: '127.0.0.1', port, path, method, headers, agent: again ? false : this.#agent })
    request.on('error', error => {
      // The server may have closed an idle connection in the very moment in which it was chosen, and has not seen the request.
      if (!again && request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET' && this.#requests.status[id] === PENDING) this.#ask(id, true)
      else this.#settle(id, BROKEN)
    })
    // Another protocol than the one that is measured.
    request.on('upgrade', (_response, socket) => {
      socket.destroy()
      this.#settle(id, BROKEN)
    })
    request.on('response', response => {
      response.resume()
      response.on('end', () => this.#settle(id, response.complete ? response.statusCode! : BROKEN))
      response.on('error', () => this.#settle(id, BROKEN))
    })
    request.end(body)
  }

  #expire (now: number): void {
    const { due, status } = this.#requests
    for (; this.#oldest < this.#next; this.#oldest++) {
      const waiting = status[this.#oldest] === PENDING
      if (waiting && due[this.#oldest]! + this.#plan.timeout > now) return
      if (waiting) {
        const request = this.#out[this.#oldest]
        this.#settle(this.#oldest, TIMED_OUT)
        request?.destroy()
      }
    }
  }

  #settle (id: number, status: number): void {
    const { due, latency, status: statuses } = this.#requests
    if (statuses[id] !== PENDING) return
    latency[id] = this.#now() - due[id]!
    // Read too late because this process was late: one that the client did not wait for.
    statuses[id] = status > 0 && latency[id]! > this.#plan.timeout ? TIMED_OUT : status
    this.#out[id] = undefined
    this.#pending--
  }
}
