// A listener of the suite's own beside the app's: where it listens, as an option, and the start of it.
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

/** Rejects when the port is taken. */
export async function listenAt (server: Server, { port, host }: Address): Promise<void> {
  // The app's own listener keeps the process alive.
  server.unref()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

/** The port that it listens at, once it does. */
export function portOf (server: Server): number | undefined {
  return (server.address() as { port: number } | null)?.port
}
