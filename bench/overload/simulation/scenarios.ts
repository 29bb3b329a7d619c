// What changes under way: a service that becomes slower, by itself or for want of servers; calls that merely take long.
import { lognormal } from './engine.ts'
import type { Phase } from './run.ts'
import { idleLoop, Pool, type Workload } from './workloads.ts'

interface Downstream { pool: Pool, ms: number }
type Draw = (random: () => number, mean: number) => number

/** Something happens at 10 s, and something else at 20 s. */
function changing (servers: number, ms: number, at10: (downstream: Downstream) => void, at20: (downstream: Downstream) => void, draw: Draw = (_random, mean) => mean): Workload {
  return (events, random) => {
    const downstream = { pool: new Pool(events, servers), ms }
    events.after(10_000, () => at10(downstream))
    events.after(20_000, () => at20(downstream))
    return idleLoop((_route, done) => downstream.pool.add(() => draw(random, downstream.ms), done))
  }
}

/** Nothing queues anywhere. */
function unqueued (ms: (now: number, random: () => number) => number): Workload {
  return (events, random) => idleLoop((_route, done) => events.after(ms(events.now(), random), done))
}

/** From 20 to 60 ms, evenly over a minute. */
const drifting: Workload = events => {
  const pool = new Pool(events, 10)
  return idleLoop((_route, done) => pool.add(() => 20 + events.now() / 1500, done))
}

/** Quick calls on a pool, then others that take long, which nothing queues for. */
function thenLong (servers: number): Workload {
  return events => {
    const pool = new Pool(events, servers)
    return idleLoop((route, done) => route === 1 ? events.after(5000, done) : pool.add(() => 20, done), () => events.now() < 10_000 ? 0 : 1)
  }
}

/** Nothing ends from 10 to 12 s. */
const hanging: Workload = events => {
  const pool = new Pool(events, 10)
  return idleLoop((_route, done) => pool.add(() => 20, () => {
    if (events.now() < 10_000 || events.now() > 12_000) done()
    else events.after(12_000 - events.now(), done)
  }))
}

const heavyTailed: Draw = (random, mean) => lognormal(random, mean, 1)
const slower = (downstream: Downstream): void => { downstream.ms *= 2 }
const faster = (downstream: Downstream): void => { downstream.ms /= 2 }
const servers = (count: number) => ({ pool }: Downstream): void => { pool.servers = count }
const same = (): void => {}
const PATIENT = 60_000
const LONG = 120

export const scenarios: ReadonlyArray<{ name: string, rate: number | readonly Phase[], seconds?: number, patience?: number, workload: Workload }> = [
  { name: '5 s calls, 500 in flight', rate: 100, patience: PATIENT, workload: unqueued(() => 5000) },
  { name: '5 s calls, behind quick ones', rate: 100, patience: PATIENT, workload: thenLong(10) },
  { name: '5 s calls, 500 at once behind quick ones', rate: [{ at: 0, perSecond: 100 }, { at: 10_000, perSecond: 50_000 }, { at: 10_010, perSecond: 10 }], patience: PATIENT, workload: thenLong(10) },
  { name: '5 s calls, behind 2× load of quick ones', rate: [{ at: 0, perSecond: 1000 }, { at: 10_000, perSecond: 100 }], patience: PATIENT, workload: thenLong(10) },
  { name: '5 s calls, become 10 s', rate: 50, patience: PATIENT, workload: unqueued(now => now >= 10_000 && now < 20_000 ? 10_000 : 5000) },
  { name: '20 ms unqueued, become 60 ms', rate: 300, workload: unqueued(now => now >= 10_000 && now < 20_000 ? 60 : 20) },
  { name: 'hangs for 2 s, 2× load', rate: 1000, workload: hanging },
  { name: 'service × 2, 2× load', rate: 1000, workload: changing(10, 20, slower, faster) },
  { name: 'service × 2, 5× load', rate: 2500, workload: changing(10, 20, slower, faster) },
  { name: 'service × 2, lognormal, 2× load', rate: 1000, workload: changing(10, 20, slower, faster, heavyTailed) },
  { name: 'service × 2, lognormal, 5× load', rate: 2500, workload: changing(10, 20, slower, faster, heavyTailed) },
  { name: 'half the servers, 2× load', rate: 1000, workload: changing(10, 20, servers(5), servers(10)) },
  { name: '4 × the servers, 5× load', rate: 2500, workload: changing(10, 20, servers(40), servers(10)) },
  { name: 'service drifts from 20 to 60 ms, 2× load', rate: 1000, seconds: 60, workload: drifting },
  { name: 'two minutes at 2× load', rate: 1000, seconds: LONG, workload: changing(10, 20, same, same) },
  { name: '1 server × 20 ms, 5× load', rate: 250, workload: changing(1, 20, same, same) },
  { name: '100 servers × 20 ms, 2× load', rate: 10_000, seconds: 10, workload: changing(100, 20, same, same) },
  { name: '10 servers × 200 ms, 5× load', rate: 250, patience: 2000, workload: changing(10, 200, same, same) },
  { name: '2 servers × 100 ms, 5× load', rate: 100, patience: 2000, workload: changing(2, 100, same, same) }
]
