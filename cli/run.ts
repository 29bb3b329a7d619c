// One run: a server started, warmed up, loaded for a while, and stopped.
import { figuresOf, IN_TIME, type Figures } from './figures.ts'
import { Failure } from './failure.ts'
import { OpenLoop, type Target } from './open-loop.ts'
import { ServerProcess, type Readings } from './server-process.ts'
import { unusedPort } from './unused-port.ts'

export interface Load {
  target: Omit<Target, 'port'>
  /** Arrivals a second. */
  rate: number
  /** Milliseconds that count, and those before them that don't. */
  duration: number
  warmUp: number
  /** Milliseconds behind which a client gives up. */
  timeout: number
  /** The server's port; 0 tells it a free one. */
  port: number
  /** Where the server tells its memory and the event loop's delay. */
  metrics: string
}

const READ_EVERY_MS = 1_000
const TRIES = 3

/**
 * A run that the generator fell behind in says nothing of the server, and is done again: another process may have had the machine.
 * @throws Failure when the server cannot be measured, or the generator cannot offer the rate
 */
export async function run (command: string, load: Load, env: Record<string, string>, seed: number): Promise<Figures> {
  let figures = await runOnce(command, load, env, seed)
  for (let tries = 1; figures.inTime < IN_TIME; tries++) {
    if (tries === TRIES) {
      throw new Failure(`Of ${load.rate} requests a second, ${(100 * figures.inTime).toFixed(0)} % went out in time, at the last of ${TRIES} tries: this machine cannot offer that many beside the server. Lower --rate.`)
    }
    figures = await runOnce(command, load, env, seed)
  }
  return figures
}

async function runOnce (command: string, load: Load, env: Record<string, string>, seed: number): Promise<Figures> {
  const { target, rate, duration, warmUp, timeout, port, metrics } = load
  const server = await ServerProcess.start(command, target, port === 0 ? await unusedPort() : port, env)
  const readings: Readings[] = []
  const read = async (): Promise<void> => {
    const reading = await server.readings(metrics)
    if (reading !== undefined) readings.push(reading)
  }
  const warm = performance.now() + warmUp
  const timer = setInterval(() => { if (performance.now() >= warm) read() }, READ_EVERY_MS)
  try {
    const loop = new OpenLoop({ target: server.target, perSecond: rate, ms: warmUp + duration, timeout, seed })
    const requests = await loop.run()
    server.assertAlive('under load')
    await read()
    const figures = figuresOf(requests, warmUp, warmUp + duration)
    if (figures.requests === 0) throw new Failure(`At ${rate} a second, no request was due within ${duration} ms. Raise --duration.`)
    return { ...figures, rss: most(readings, 'rss'), loopDelay: most(readings, 'loopDelay') }
  } finally {
    clearInterval(timer)
    await server.stop()
  }
}

function most (readings: readonly Readings[], key: keyof Readings): number {
  return readings.length === 0 ? NaN : Math.max(...readings.map(reading => reading[key]))
}
