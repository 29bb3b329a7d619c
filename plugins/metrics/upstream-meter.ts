// The backends behind this server, each by what undici and fetch publish on their diagnostics channels: response times,
// errors, and the wait for a connection of the pool. Without it a slow backend and a slow server look alike.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { DURATION_BOUNDS, Histogram } from '../shared/histogram.ts'
import type { Instrument, Instruments } from '../shared/instruments.ts'

const duration: Instrument = { name: 'fastify.upstream.request.duration', type: 'histogram', unit: 's', help: 'Time from the request to an upstream to the head of its reply' }
const wait: Instrument = { name: 'fastify.upstream.wait.duration', type: 'histogram', unit: 's', help: 'Time that a request to an upstream waited for a connection' }
const errors: Instrument = { name: 'fastify.upstream.errors', type: 'counter', help: 'Requests to an upstream that failed' }
const pending: Instrument = { name: 'fastify.upstream.pending', type: 'gauge', help: 'Requests to an upstream that wait for the head of its reply' }

/** Origins without a name of their own, and kinds of error; more share one label. */
const MOST = 100
const OTHER = '_OTHER'

interface Upstream {
  readonly name: string
  pending: number
  readonly wait: Histogram
  readonly durations: Map<string, Histogram>
  readonly errors: Map<string, number>
}

interface Call { readonly upstream: Upstream, readonly created: number, sent: boolean, replied: boolean }

export class UpstreamMeter {
  readonly #upstreams = new Map<string, Upstream>()
  readonly #calls = new WeakMap<object, Call>()
  readonly #names: Record<string, string>
  readonly #now: () => number
  readonly #listeners: Record<string, (message: any) => void>

  constructor (names: Record<string, string>, now: () => number) {
    this.#names = names
    this.#now = now
    this.#listeners = {
      'undici:request:create': ({ request }) => this.created(request, request.origin),
      'undici:client:sendHeaders': ({ request }) => this.sent(request),
      'undici:request:headers': ({ request, response }) => this.replied(request, response.statusCode),
      'undici:request:error': ({ request, error }) => this.failed(request, error)
    }
  }

  start (): void {
    for (const [channel, listener] of Object.entries(this.#listeners)) subscribe(channel, listener)
  }

  stop (): void {
    for (const [channel, listener] of Object.entries(this.#listeners)) unsubscribe(channel, listener)
  }

  created (request: object, origin: unknown): void {
    const upstream = this.#upstream(String(origin))
    upstream.pending++
    this.#calls.set(request, { upstream, created: this.#now(), sent: false, replied: false })
  }

  /** Twice for a request that is repeated on another connection: the wait is that for the first. */
  sent (request: object): void {
    const call = this.#calls.get(request)
    if (call === undefined || call.sent) return
    call.sent = true
    call.upstream.wait.observe(this.#seconds(call))
  }

  replied (request: object, statusCode: number): void {
    const call = this.#calls.get(request)
    // An informational head (103) comes before the one that counts; behind a 101 comes none.
    if (call === undefined || call.replied || (statusCode < 200 && statusCode !== 101)) return
    call.replied = true
    call.upstream.pending--
    const status = `${Math.floor(statusCode / 100)}xx`
    let durations = call.upstream.durations.get(status)
    if (durations === undefined) call.upstream.durations.set(status, durations = new Histogram(DURATION_BOUNDS))
    durations.observe(this.#seconds(call))
  }

  failed (request: object, error: { code?: unknown, name?: unknown } | undefined): void {
    const call = this.#calls.get(request)
    if (call === undefined) return
    this.#calls.delete(request)
    const { upstream } = call
    if (!call.replied) upstream.pending--
    // The code of a DOMException, such as an AbortError, is a number that says nothing.
    const type = bounded(upstream.errors, typeof error?.code === 'string' ? error.code : String(error?.name ?? 'Error'))
    upstream.errors.set(type, (upstream.errors.get(type) ?? 0) + 1)
  }

  #seconds (call: Call): number {
    return (this.#now() - call.created) / 1000
  }

  #upstream (origin: string): Upstream {
    const name = this.#names[origin] ?? bounded(this.#upstreams, origin)
    let upstream = this.#upstreams.get(name)
    if (upstream === undefined) this.#upstreams.set(name, upstream = { name, pending: 0, wait: new Histogram(DURATION_BOUNDS), durations: new Map(), errors: new Map() })
    return upstream
  }

  register (instruments: Instruments): void {
    instruments.add(duration, add => {
      for (const { name, durations } of this.#upstreams.values()) {
        for (const [status, histogram] of durations) add(histogram, { upstream: name, status_class: status })
      }
    })
    instruments.add(wait, add => { for (const { name, wait } of this.#upstreams.values()) add(wait, { upstream: name }) })
    instruments.add(errors, add => {
      for (const { name, errors } of this.#upstreams.values()) {
        for (const [type, count] of errors) add(count, { upstream: name, error_type: type })
      }
    })
    instruments.add(pending, add => { for (const { name, pending } of this.#upstreams.values()) add(pending, { upstream: name }) })
  }
}

function bounded (known: ReadonlyMap<string, unknown>, value: string): string {
  return known.has(value) || known.size < MOST ? value : OTHER
}
