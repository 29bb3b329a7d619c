// Runs the same traffic against every variant in turn, round after round, each in a warm process on its own core. Void
// runs are repeated, and left out if they stay void.
import { ClosedLoop } from '../support/closed-loop.ts'
import type { Attempts, Plan, Stream } from '../support/open-loop.ts'
import { isVoid, offered } from '../support/outcomes.ts'
import { forkPinned, type Child } from '../support/pinned.ts'
import { progress } from '../../cli/progress.ts'
import { get } from '../support/request.ts'
import type { Server } from './server.ts'
import type { VariantName } from './variants.ts'
import type { Facts, WorkloadName } from './workloads.ts'

const SERVER_CORE = 0
const GENERATOR_CORE = 1
const TRIES = 2
const CONNECTIONS = 200
const WARM_UP = { requests: 3000, connections: 6 }

/** For the generator, which has to be warm too. */
const REHEARSAL = { seed: 0, streams: [{ request: get('/hello'), arrivals: [{ perSecond: 2000, ms: 1000 }], timeout: 500, fresh: true }] }

export class Contender {
  readonly variant: VariantName
  readonly #child: Child

  private constructor (variant: VariantName, child: Child) {
    this.variant = variant
    this.#child = child
  }

  static async start (workload: WorkloadName, variant: VariantName): Promise<Contender> {
    return new Contender(variant, await forkPinned(new URL('server.ts', import.meta.url), [variant, workload], SERVER_CORE))
  }

  async ask<Question extends keyof Server> (question: Question, facts: Facts = {}): Promise<ReturnType<Server[Question]>> {
    return await this.#child.ask({ question, facts })
  }

  /** Opens the app; why it cannot, when this version doesn't know one of its options. */
  async open (facts: Facts): Promise<{ port: number, unknown?: undefined } | { unknown: string }> {
    return await this.ask('open', facts)
  }

  /** Microseconds of CPU a request of a closed loop, all of which are answered with `status`. */
  async cost (port: number, { path, requests, connections, status }: { path: string, requests: number, connections: number, status?: number | 'any' }): Promise<number> {
    const load = await ClosedLoop.connect(port, connections, get(path), status)
    const before = await this.ask('cpu')
    await load.burst(requests)
    const cost = (await this.ask('cpu') - before) / requests
    load.close()
    return cost
  }

  /** Whatever the answers: a boot that took long may count as pressure. */
  async warmUp (port: number): Promise<void> {
    await this.cost(port, { path: '/hello', ...WARM_UP, status: 'any' })
  }

  end (): void {
    this.#child.end()
  }
}

export interface Contest<Point, Reading> {
  workload: WorkloadName
  variants: VariantName[]
  /** What is varied: mostly the load, in multiples of the capacity. */
  points: readonly Point[]
  rounds: number
  facts?: Facts
  /** Runs of the last point that do not count: code that runs a few hundred times a second only is cold for seconds. @default 0 */
  rehearsals?: number
  /** Open before the first request: a surge comes over connections that are there, or the generator is busy opening them. @default 200 */
  connections?: (point: Point) => number
  streams: (point: Point) => Stream[]
  /** Called while the server is still there. */
  read: (attempts: Attempts, server: Contender, point: Point) => Reading | Promise<Reading>
}

export class Readings<Point, Reading> {
  /** Why a variant did not take part. */
  readonly absent = new Map<VariantName, string>()
  readonly #readings = new Map<VariantName, Map<Point, Reading[]>>()
  voids = 0

  of (variant: VariantName, point: Point): Reading[] {
    const points = this.#readings.get(variant) ?? new Map<Point, Reading[]>()
    this.#readings.set(variant, points)
    const readings = points.get(point) ?? []
    points.set(point, readings)
    return readings
  }
}

export class Generator {
  readonly #child: Child

  private constructor (child: Child) {
    this.#child = child
  }

  static async start (): Promise<Generator> {
    return new Generator(await forkPinned(new URL('../support/generator.ts', import.meta.url), [], GENERATOR_CORE))
  }

  async run (plan: Plan): Promise<Attempts> {
    return await this.#child.ask(plan)
  }

  end (): void {
    this.#child.end()
  }
}

export async function contest<Point, Reading> (name: string, generator: Generator, { workload, variants, points, rounds, facts = {}, rehearsals = 0, connections = () => CONNECTIONS, streams, read }: Contest<Point, Reading>): Promise<Readings<Point, Reading>> {
  const readings = new Readings<Point, Reading>()
  const contenders: Contender[] = []

  async function enlist (contender: Contender): Promise<void> {
    const opened = await contender.open(facts)
    if (opened.unknown === undefined) {
      await contender.warmUp(opened.port)
      // Refusing is warm too, as it is in any server that is past its limit for longer than a run takes.
      await contender.ask('refuse')
      await contender.warmUp(opened.port)
      await generator.run({ port: opened.port, ...REHEARSAL })
      await contender.ask('close')
      contenders.push(contender)
    } else {
      readings.absent.set(contender.variant, opened.unknown)
      contender.end()
    }
  }

  async function load (contender: Contender, point: Point, seed: number): Promise<Attempts> {
    const opened = await contender.open(facts)
    if (opened.unknown !== undefined) throw new Error(opened.unknown)
    return await generator.run({ port: opened.port, seed, streams: streams(point), connections: connections(point) })
  }

  async function rehearse (contender: Contender): Promise<void> {
    for (let run = 0; run < rehearsals; run++) {
      await load(contender, points.at(-1)!, run)
      await contender.ask('close')
    }
  }

  async function run (contender: Contender, point: Point, seed: number): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const attempts = await load(contender, point, seed)
      const reading = isVoid(attempts) ? undefined : await read(attempts, contender, point)
      await contender.ask('close')
      if (reading !== undefined) {
        readings.of(contender.variant, point).push(reading)
        return
      }
      readings.voids++
      process.stderr.write(`void: ${(offered(attempts) * 100).toFixed(1)} % offered in time, ${contender.variant}\n`)
    }
  }

  try {
    for (const contender of await Promise.all(variants.map(async variant => await Contender.start(workload, variant)))) await enlist(contender)
    for (const contender of contenders) await rehearse(contender)
    const show = progress(rounds * points.length * contenders.length, name)
    let done = 0
    for (let round = 0; round < rounds; round++) {
      for (const [at, point] of points.entries()) {
        // Turned by one each round, so that nobody always runs behind the same neighbour.
        for (let turn = 0; turn < contenders.length; turn++) {
          await run(contenders[(round + turn) % contenders.length]!, point, round * 1000 + at)
          show(++done)
        }
      }
    }
  } finally {
    for (const contender of contenders) contender.end()
  }
  return readings
}
