// CPU time a request of several servers, each in a process of its own, bursts of all of them in turn: a burst's absolute
// figure belongs to the machine, its ratio to another's of the same round does not.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { ClosedLoop } from './closed-loop.ts'
import { progress } from '../../cli/progress.ts'
import { get } from './request.ts'
import { median } from '../../cli/statistics.ts'

export interface Bursts {
  /** Says its port when it listens, and its CPU time in µs whenever it is sent a message. The variant is its argument. */
  server: URL
  variants: readonly string[]
  request: string
  connections: number
  warmUp: number
  rounds: number
  requests: number
  /** The server runs the bursts itself, over connections in memory, and is asked for them by `{ request, connections, count }`. @default false */
  inMemory?: boolean
}

export class Readings {
  readonly name: string
  /** Microseconds of CPU time a request, by round. */
  readonly perRequest: number[] = []

  constructor (name: string) {
    this.name = name
  }

  /** Its ratio to another one in each round. */
  to (base: Readings): number[] {
    return this.perRequest.map((value, round) => value / base.perRequest[round]!)
  }

  get median (): number { return median(this.perRequest) }
}

export class Contender extends Readings {
  readonly #child: ChildProcess
  readonly #load: ClosedLoop | { request: string, connections: number }

  private constructor (name: string, child: ChildProcess, load: ClosedLoop | { request: string, connections: number }) {
    super(name)
    this.#child = child
    this.#load = load
  }

  static async start (name: string, { server, connections, request, inMemory }: Bursts): Promise<Contender> {
    const child = fork(server, [name], { execArgv: ['--import', 'tsx'] })
    const [port] = await once(child, 'message')
    return new Contender(name, child, inMemory ? { request, connections } : await ClosedLoop.connect(port, connections, request))
  }

  async burst (requests: number): Promise<number> {
    if (!(this.#load instanceof ClosedLoop)) {
      this.#child.send({ ...this.#load, count: requests })
      return (await once(this.#child, 'message'))[0] / requests
    }
    const before = await this.#cpu()
    await this.#load.burst(requests)
    return (await this.#cpu() - before) / requests
  }

  end (): void {
    if (this.#load instanceof ClosedLoop) this.#load.close()
    this.#child.disconnect()
  }

  async #cpu (): Promise<number> {
    this.#child.send('cpu')
    return (await once(this.#child, 'message'))[0]
  }
}

export async function alternate (bursts: Bursts): Promise<Contender[]> {
  const contenders: Contender[] = []
  const warm = progress(bursts.variants.length, 'warming up')
  for (const name of bursts.variants) {
    contenders.push(await warmedUp(name, bursts))
    warm(contenders.length)
  }
  const rounds = progress(bursts.rounds, 'rounds')
  for (let round = 0; round < bursts.rounds; round++) {
    await burstEach(contenders, round, bursts.requests)
    rounds(round + 1)
  }
  for (const contender of contenders) contender.end()
  return contenders
}

/**
 * Prints what a hello-world request costs with each variant, the first of which is bare Fastify: over connections in memory,
 * where a microsecond shows, or over real sockets. `cells` are a row behind its name, undefined where there is none.
 */
export async function compareHello (
  { inMemory, ...bursts }: Pick<Bursts, 'server' | 'variants' | 'rounds' | 'requests'> & { inMemory: boolean },
  columns: readonly string[],
  cells: (contender: Contender, named: (name: string) => Contender) => readonly string[] | undefined
): Promise<void> {
  const contenders = await alternate({ ...bursts, request: get('/'), connections: 20, warmUp: inMemory ? 40_000 : 12_000, inMemory })
  const named = (name: string): Contender => contenders.find(contender => contender.name === name)!
  console.log(`| CPU a request, ${inMemory ? 'connections in memory' : 'real sockets'} | ${columns.join(' | ')} |`)
  console.log(`|---|${'---|'.repeat(columns.length)}`)
  for (const contender of contenders) {
    const row = cells(contender, named)
    if (row !== undefined) console.log(`| ${contender.name} | ${row.join(' | ')} |`)
  }
  console.log(`\nMedians of ${bursts.rounds} rounds of ${bursts.requests} requests. Node ${process.version}. Bare Fastify: ${contenders[0]!.median.toFixed(1)} µs.\n`)
}

/**
 * As alternate(), with new processes again and again, each of which gives one reading, its median: what V8 makes of the same code
 * differs between two processes by more than a few hooks cost, however long each is measured.
 */
export async function alternateProcesses (bursts: Bursts, processes: number): Promise<Readings[]> {
  const readings = bursts.variants.map(name => new Readings(name))
  const done = progress(processes, 'processes')
  for (let process = 0; process < processes; process++) {
    const contenders: Contender[] = []
    for (const name of bursts.variants) contenders.push(await warmedUp(name, bursts))
    for (let round = 0; round < bursts.rounds; round++) await burstEach(contenders, process + round, bursts.requests)
    for (const [at, contender] of contenders.entries()) {
      readings[at]!.perRequest.push(contender.median)
      contender.end()
    }
    done(process + 1)
  }
  return readings
}

async function warmedUp (name: string, bursts: Bursts): Promise<Contender> {
  const contender = await Contender.start(name, bursts)
  await contender.burst(bursts.warmUp)
  return contender
}

/** Turned by one each round, so that nobody always runs behind the same neighbour. */
async function burstEach (contenders: readonly Contender[], round: number, requests: number): Promise<void> {
  for (let i = 0; i < contenders.length; i++) {
    const contender = contenders[(round + i) % contenders.length]!
    contender.perRequest.push(await contender.burst(requests))
  }
}
