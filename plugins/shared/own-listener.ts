// A listener of the suite's own beside the app's: where it listens, as an option, and its life.
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

/** Keeps no process alive: the app's own listener does. */
export class OwnListener {
  readonly #server: Server
  readonly #destroyConnections: () => void
  #started: Promise<unknown> | undefined
  #over = false

  constructor (server: Server, destroyConnections: () => void) {
    this.#server = server.unref()
    this.#destroyConnections = destroyConnections
  }

  /** The port that it listens at, once it does. */
  get port (): number | undefined {
    return (this.#server.address() as { port: number } | null)?.port
  }

  /** Rejects when the port is taken. Does nothing once it was closed. */
  async listen ({ port, host }: Address): Promise<void> {
    if (this.#over) return
    const started = new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.removeListener('error', reject)
        resolve()
      })
    })
    this.#started = started.catch(() => {})
    await started
  }

  /** Also of one that is about to listen: close() may come while the app is getting ready. */
  async close (): Promise<void> {
    this.#over = true
    await this.#started
    if (!this.#server.listening) return
    await new Promise(resolve => {
      this.#server.close(resolve)
      this.#destroyConnections()
    })
  }
}
