// One connection under the limits of time: its TLS handshake, the body that comes in, the reply that goes out. Node limits
// the header and the pause between requests by itself, but a blank line now and then puts that pause off for ever: so the
// two together have an end here. An idle connection is nothing but this object: what a body or a waiting reply needs is
// made when there is one.
import { Link } from '../shared/line.ts'
import { BodyRate, type MinBodyRate } from './body-rate.ts'
import type { Swept } from './sweep.ts'
import { WriteStall } from './write-stall.ts'

export interface ConnectionLimits {
  minBodyRate: MinBodyRate | false
  /** Milliseconds without a move while a reply waits. */
  writeStallTimeout: number | false
  /** Milliseconds for a TLS handshake. */
  handshakeTimeout: number
  /** Milliseconds without a request that Node cannot have meant to allow. */
  idleTimeout: number
}

export type Cut = 'handshake' | 'idle' | 'slow_body' | 'write_stall'

/** A request whose body is not in yet. */
export interface Incoming { readonly complete: boolean, readonly destroyed: boolean }

interface Body<Request> { readonly request: Request, readonly rate: BodyRate }

export abstract class Connection<Request extends Incoming = Incoming> extends Link implements Swept {
  /** 'over': left alone from now on: taken over by the app, cut, or let off in a dry run. */
  #phase: 'shaking' | 'speaking' | 'over'
  #stall: WriteStall | undefined
  #body: Body<Request> | undefined
  /** A request came since the last look. */
  asked = false

  constructor (now: number, secure: boolean) {
    super()
    // A fraction would be an object of its own.
    this.since = Math.floor(now)
    this.#phase = secure ? 'shaking' : 'speaking'
  }

  protected abstract get limits (): ConnectionLimits
  /** Bytes that came in, decrypted. */
  protected abstract get bytesRead (): number
  /** Bytes that the kernel took; only grows. */
  protected abstract get flushed (): number
  /** True while bytes wait for the kernel. */
  protected abstract get waiting (): boolean
  /** True while the server reads. */
  protected abstract get reading (): boolean
  /** True once it was taken over by an upgrade: then it is the app's. */
  protected abstract get upgraded (): boolean
  /** True while it speaks HTTP/1 and has no request in hand. */
  protected abstract get idle (): boolean
  /** Ends it, and is not asked again: in a dry run it is let off. `request` is the one whose body is slow. */
  protected abstract cut (why: Cut, request: Request | undefined): void

  /** The TLS handshake is done. */
  protected shaken (): void {
    if (this.#phase === 'shaking') this.#phase = 'speaking'
  }

  /** A body is on its way, of which `already` bytes are here. One at a time: HTTP/1 has no other. */
  expectBody (request: Request, already: number, now: number): void {
    const { minBodyRate } = this.limits
    if (minBodyRate !== false) this.#body = { request, rate: new BodyRate(minBodyRate, now, this.bytesRead - already) }
  }

  look (now: number): void {
    if (this.#phase === 'over') return
    if (this.upgraded) this.#phase = 'over'
    else if (this.#phase === 'shaking' && now - this.since >= this.limits.handshakeTimeout) this.#cut('handshake')
    else if (this.#stalls(now)) this.#cut('write_stall')
    else if (this.#body !== undefined) this.#lookAtBody(now, this.#body)
    else if (this.#phase === 'speaking') this.#lookAtPause(now)
  }

  #lookAtPause (now: number): void {
    if (this.asked || !this.idle) {
      this.asked = false
      this.since = Math.floor(now)
    } else if (now - this.since >= this.limits.idleTimeout) {
      this.#cut('idle')
    }
  }

  #stalls (now: number): boolean {
    const { writeStallTimeout } = this.limits
    if (writeStallTimeout === false) return false
    if (this.waiting) return (this.#stall ??= new WriteStall(writeStallTimeout)).look(now, true, this.flushed)
    this.#stall = undefined
    return false
  }

  #lookAtBody (now: number, { request, rate }: Body<Request>): void {
    if (request.complete || request.destroyed) this.#body = undefined
    else if (rate.look(now, this.bytesRead, this.reading)) this.#cut('slow_body')
  }

  #cut (why: Cut): void {
    this.#phase = 'over'
    this.cut(why, this.#body?.request)
  }
}
