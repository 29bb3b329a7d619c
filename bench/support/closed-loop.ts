// The smallest load generator that keeps a server busy: some keep-alive connections, each asking again as soon as it
// has its reply. It reads no more of a reply than where it ends, so that the second core is enough for it.
import net from 'node:net'

export class ClosedLoop {
  readonly #sockets: net.Socket[]
  readonly #request: Buffer
  readonly #status: number | 'any'
  #left = 0
  #open = 0
  #done: () => void = () => {}

  private constructor (sockets: net.Socket[], request: string, status: number | 'any') {
    this.#sockets = sockets
    this.#status = status
    this.#request = Buffer.from(request, 'latin1')
    for (const socket of sockets) this.#watch(socket)
  }

  /** `status` is what every reply must have. */
  static async connect (port: number, connections: number, request: string, status: number | 'any' = 200): Promise<ClosedLoop> {
    const sockets = await Promise.all(Array.from({ length: connections }, () => new Promise<net.Socket>((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      socket.once('connect', () => resolve(socket)).once('error', reject)
    })))
    return new ClosedLoop(sockets, request, status)
  }

  /** Sends `count` requests and resolves with the last reply. */
  burst (count: number): Promise<void> {
    this.#left = count
    return new Promise(resolve => {
      this.#done = resolve
      for (const socket of this.#sockets) this.#next(socket)
    })
  }

  close (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #next (socket: net.Socket): void {
    if (this.#left === 0) {
      if (this.#open === 0) this.#done()
      return
    }
    this.#left--
    this.#open++
    socket.write(this.#request)
  }

  #watch (socket: net.Socket): void {
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      received = received === '' ? text : received + text
      const head = received.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = /\ncontent-length: (\d+)/i.exec(received.slice(0, head))
      // Without a length it is chunked, and ends with an empty chunk.
      if (length === null ? !received.endsWith('\r\n0\r\n\r\n') : received.length < head + 4 + Number(length[1])) return
      if (this.#status !== 'any' && !received.startsWith(`HTTP/1.1 ${this.#status}`)) throw new Error(received.slice(0, 500))
      received = ''
      this.#open--
      this.#next(socket)
    })
  }
}
