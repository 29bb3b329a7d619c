// An open-loop load generator: requests go out when they are due, whether or not the server answers, and latency counts
// from that moment. It prevents what a closed loop does to a slow server: ask less of it, and call the result its speed.
import net from 'node:net'
import { merge, poisson, seeded, type Arrivals, type Phase } from '../../cli/arrivals.ts'

export interface Stream {
  /** The whole request, head and body. */
  request: string
  /** Poisson arrivals; or the instants themselves, in milliseconds since the start. */
  arrivals: readonly Phase[] | { instants: readonly number[] }
  /** Milliseconds after which the client gives up and destroys its socket. */
  timeout: number
  /** How often a client whose request failed asks again, at once. @default 0 */
  retries?: number
  /** A connection of its own for every request. @default false */
  fresh?: boolean
  /** @default the plan's */
  port?: number
}

export interface Plan {
  port: number
  seed: number
  streams: Stream[]
  /** Connections that are open before the first request, as a balancer's are. @default 0 */
  connections?: number
}

export const PENDING = 0
export const GOOD = 1
export const REFUSED = 2
export const TIMED_OUT = 3
/** Another status, or a connection that failed. */
export const FAILED = 4

/** One row an attempt, in order of sending; an array a column. */
export interface Attempts {
  /** When it was due, in milliseconds since the start. A retry is due when the attempt before it failed. */
  due: Float64Array
  /** Milliseconds from due to the end: the reply's last byte, the timeout or the error. */
  latency: Float64Array
  /** Milliseconds from due to sent. */
  late: Float64Array
  outcome: Uint8Array
  stream: Uint8Array
  /** 0 for a first attempt. */
  retry: Uint8Array
  count: number
}

/** One buffer for all sockets: a reply is looked at within its read, and replies are small. */
const received = Buffer.allocUnsafe(64 * 1024)
const TICK = 1

export class OpenLoop {
  readonly attempts: Attempts
  readonly #plan: Plan
  readonly #requests: Buffer[]
  readonly #arrivals: Arrivals
  readonly #idle = new Map<number, Connection[]>()
  readonly #open = new Set<Connection>()
  /** What each stream has out, in order of sending, and so of deadline. */
  readonly #out: Array<{ connections: Connection[], ids: number[], first: number }>
  #next = 0
  #pending = 0
  #began = 0
  #finish: () => void = () => {}

  constructor (plan: Plan) {
    this.#plan = plan
    this.#requests = plan.streams.map(({ request }) => Buffer.from(request, 'latin1'))
    const random = seeded(plan.seed)
    this.#arrivals = merge(plan.streams.map(({ arrivals }) => 'instants' in arrivals ? [...arrivals.instants] : poisson(arrivals, random)))
    this.#out = plan.streams.map(() => ({ connections: [], ids: [], first: 0 }))
    const rows = this.#arrivals.at.length * (1 + Math.max(...plan.streams.map(({ retries = 0 }) => retries)))
    this.attempts = {
      due: new Float64Array(rows), latency: new Float64Array(rows), late: new Float64Array(rows), outcome: new Uint8Array(rows), stream: new Uint8Array(rows), retry: new Uint8Array(rows), count: 0
    }
  }

  /** Resolves when everything that was sent has ended. */
  async run (): Promise<Attempts> {
    const { connections = 0, port } = this.#plan
    const open = Array.from({ length: connections }, () => this.#connect(port, false))
    await Promise.all(open.map(connection => connection.connected()))
    this.#pool(port).push(...open)
    this.#began = performance.now()
    return await new Promise(resolve => {
      this.#finish = () => {
        for (const connection of this.#open) connection.destroy()
        resolve(this.attempts)
      }
      this.#tick()
    })
  }

  readonly #tick = (): void => {
    const { at, stream } = this.#arrivals
    let now = this.#now()
    while (this.#next < at.length && at[this.#next]! <= now) {
      this.#send(stream[this.#next]!, at[this.#next]!, 0)
      this.#next++
      now = this.#now()
    }
    for (let of = 0; of < this.#out.length; of++) this.#expire(of, now)
    if (this.#next === at.length && this.#pending === 0) this.#finish()
    else setTimeout(this.#tick, TICK)
  }

  #now (): number {
    return performance.now() - this.#began
  }

  #send (stream: number, due: number, retry: number): void {
    const { attempts } = this
    const id = attempts.count++
    attempts.due[id] = due
    attempts.stream[id] = stream
    attempts.retry[id] = retry
    attempts.late[id] = this.#now() - due
    this.#pending++
    const connection = this.#connection(stream)
    connection.send(id, this.#requests[stream]!)
    const out = this.#out[stream]!
    out.connections.push(connection)
    out.ids.push(id)
  }

  #connection (stream: number): Connection {
    const { fresh = false, port = this.#plan.port } = this.#plan.streams[stream]!
    const idle = this.#pool(port)
    for (let connection = fresh ? undefined : idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (!connection.ended) return connection
    }
    return this.#connect(port, fresh)
  }

  #connect (port: number, fresh: boolean): Connection {
    const idle = this.#pool(port)
    const connection = new Connection(port, (id, outcome) => {
      if (fresh) connection.destroy()
      if (connection.ended) this.#open.delete(connection)
      else idle.push(connection)
      if (id !== undefined) this.#settle(id, outcome)
    })
    this.#open.add(connection)
    return connection
  }

  /** The idle connections to a port, the last used on top. */
  #pool (port: number): Connection[] {
    let idle = this.#idle.get(port)
    if (idle === undefined) this.#idle.set(port, idle = [])
    return idle
  }

  #expire (stream: number, now: number): void {
    const out = this.#out[stream]!
    const { timeout } = this.#plan.streams[stream]!
    while (out.first < out.ids.length) {
      const id = out.ids[out.first]!
      const waiting = this.attempts.outcome[id] === PENDING
      if (waiting && this.attempts.due[id]! + timeout > now) break
      if (waiting) out.connections[out.first]!.giveUp()
      out.first++
    }
    if (out.first < 1024) return
    out.connections.splice(0, out.first)
    out.ids.splice(0, out.first)
    out.first = 0
  }

  #settle (id: number, outcome: number): void {
    const { attempts } = this
    const now = this.#now()
    const { retries = 0, timeout } = this.#plan.streams[attempts.stream[id]!]!
    attempts.latency[id] = now - attempts.due[id]!
    // A reply that was read after its deadline, because this process was late, is one that the client did not wait for.
    attempts.outcome[id] = outcome === GOOD && attempts.latency[id]! > timeout ? TIMED_OUT : outcome
    this.#pending--
    if (attempts.outcome[id] !== GOOD && attempts.retry[id]! < retries) this.#send(attempts.stream[id]!, now, attempts.retry[id]! + 1)
  }
}

class Connection {
  ended = false
  readonly #socket: net.Socket
  readonly #done: (id: number | undefined, outcome: number) => void
  /** The attempt that it carries. */
  #id: number | undefined = undefined
  #partial = ''

  constructor (port: number, done: (id: number | undefined, outcome: number) => void) {
    this.#done = done
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer: received, callback: (bytes: number) => { this.#read(bytes); return true } }
    })
    this.#socket.on('error', ignore)
    this.#socket.on('close', () => this.#end(FAILED))
  }

  /** Resolves when it is open, or never will be. */
  connected (): Promise<void> {
    return new Promise(resolve => { this.#socket.once('connect', resolve).once('close', resolve) })
  }

  send (id: number, request: Buffer): void {
    this.#id = id
    this.#socket.write(request)
  }

  giveUp (): void {
    this.#end(TIMED_OUT)
    this.#socket.destroy()
  }

  destroy (): void {
    this.ended = true
    this.#socket.destroy()
  }

  #end (outcome: number): void {
    if (this.ended) return
    this.ended = true
    const id = this.#id
    this.#id = undefined
    this.#done(id, outcome)
  }

  #read (bytes: number): void {
    const text = this.#partial + received.toString('latin1', 0, bytes)
    const head = text.indexOf('\r\n\r\n')
    const length = head < 0 ? null : /\ncontent-length: (\d+)/i.exec(text)
    if (length === null || text.length < head + 4 + Number(length[1])) {
      this.#partial = text
      return
    }
    this.#partial = ''
    const id = this.#id
    this.#id = undefined
    if (/\nconnection: close/i.test(text)) this.destroy()
    const status = text.slice(9, 12)
    this.#done(id, status === '200' ? GOOD : status === '503' || status === '429' ? REFUSED : FAILED)
  }
}

function ignore (): void {}
