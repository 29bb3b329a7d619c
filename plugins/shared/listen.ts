// A listener of the suite's own beside the app's: where it listens, as an option, its start, and its end.
import type { Server } from 'node:net'
import { integer, object, readOptions, string, type Rule } from './check.ts'
import { BadOption } from './errors.ts'

export interface Address {
  /** 0 takes any free one. An integer from 0 to 65535. */
  port: number
  /** @default every address of the machine */
  host?: string
}

export const portNumber = integer(0, 65_535)

export const address: Rule = {
  ...object((input, at) => {
    const given = readOptions<Partial<Address>>(at, input, { port: portNumber, host: string }, {})
    if (given.port === undefined) throw new BadOption(`Expected \`${at}.port\` to be ${portNumber.expects}, got undefined`)
    return given
  }),
  expects: '{ port, host }'
}

const starting = new WeakMap<Server, Promise<void>>()
const over = new WeakSet<Server>()

/** Rejects when the port is taken. Nothing listens any more that was stopped before. */
export async function startListening (server: Server, address: Address): Promise<void> {
  if (over.has(server)) return
  const started = listenAt(server, address)
  starting.set(server, started.catch(() => {}))
  await started
}

function listenAt (server: Server, { port, host }: Address): Promise<void> {
  // The app's own listener keeps the process alive.
  server.unref()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

/** Also of one that is about to start: close() may come while the app is getting ready. */
export async function stopListening (server: Server, destroyConnections: () => void): Promise<void> {
  over.add(server)
  await starting.get(server)
  if (!server.listening) return
  await new Promise(resolve => {
    server.close(resolve)
    destroyConnections()
  })
}

/** The port that it listens at, once it does. */
export function portOf (server: Server): number | undefined {
  return (server.address() as { port: number } | null)?.port
}
