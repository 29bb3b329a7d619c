// One pass of the sweep over real connections, timed over many passes, in a process of its own.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { defaults } from '../../plugins/server-defaults/options.ts'
import { ListenerGuard } from '../../plugins/server-defaults/listener-guard.ts'
import type { RefusalLog } from '../../plugins/shared/telemetry.ts'
import { forkPinned } from '../support/pinned.ts'
import { median } from '../../cli/statistics.ts'

/** Milliseconds of one pass over `connections`, the median of `passes`. */
export async function timeSweep (connections: number, passes: number): Promise<number> {
  const child = await forkPinned(new URL('sweep.ts', import.meta.url), ['sweep'], 0)
  const client = await forkPinned(new URL('client.ts', import.meta.url), [], 1)
  try {
    await client.ask({ port: await child.ask('port'), count: connections })
    return await child.ask(passes)
  } finally {
    client.end()
    child.end()
  }
}

async function serve (): Promise<void> {
  let due: (() => void) | undefined
  const clock = {
    now: () => performance.now(),
    setTimeout (fn: () => void) { due = fn },
    hold () {},
    clearTimeout () {}
  }
  const server = http.createServer({ keepAliveTimeout: 600_000 }, (_request, response) => response.end('ok'))
  new ListenerGuard({ ...defaults, idleTimeout: Infinity, maxConnectionsPerIp: 1_000 }, clock, {} as RefusalLog, false).watch(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))

  /** The sweep puts its pass behind the poll; what is put there around it runs in the same turn. */
  function pass (): Promise<number> {
    return new Promise(resolve => {
      let began = 0
      setImmediate(() => { began = performance.now() })
      due!()
      setImmediate(() => resolve(performance.now() - began))
    })
  }

  process.on('message', async (question: 'port' | number) => {
    if (question === 'port') return process.send!((server.address() as AddressInfo).port)
    const took: number[] = []
    for (let i = 0; i < question; i++) took.push(await pass())
    process.send!(median(took))
  })
  process.on('disconnect', () => process.exit())
  process.send!('listening')
}

if (process.send !== undefined && process.argv[2] === 'sweep') await serve()
