// How many requests there were, how long they took and how they ended: by route, method and status, where the labels
// of a route are resolved once and a request costs two look-ups. What clients choose (methods, unknown urls) is folded,
// so that nobody can fill the memory with series.
import { DURATION_BOUNDS, Histogram, type Trace } from '../shared/histogram.ts'
import type { Add, Instrument, Instruments } from '../shared/instruments.ts'

/** Where the client left: before a handler began, before the first byte, or before the last. */
export type Phase = 'admission' | 'handler' | 'reply'

/** Status of a request whose client left before there was one. */
export const NO_STATUS = 0

/** The methods that OpenTelemetry knows; any other is one value. */
const METHODS = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'])
const OTHER = '_OTHER'

const requestDuration: Instrument = { name: 'http.server.request.duration', type: 'histogram', unit: 's', help: 'Time from arrival to the last byte of the reply, or to the leaving of the client' }
const activeRequests: Instrument = { name: 'http.server.active_requests', type: 'gauge', help: 'Requests that have arrived and not ended' }
export const aborted: Instrument = { name: 'fastify.request.aborted', type: 'counter', help: 'Requests whose client left before the reply was complete' }

/** One method of one route. */
export class MethodMeter {
  readonly route: string | undefined
  readonly method: string
  /** Of all routes; shared by their meters of this method. */
  readonly active: { count: number }
  readonly durations = new Map<number, Histogram>()

  constructor (route: string | undefined, method: string, active: { count: number }) {
    this.route = route
    this.method = method
    this.active = active
  }

  /** A request is over. */
  ended (seconds: number, status: number, trace: Trace | undefined): void {
    let durations = this.durations.get(status)
    if (durations === undefined) this.durations.set(status, durations = new Histogram(DURATION_BOUNDS))
    const bucket = durations.observe(seconds)
    if (trace !== undefined) durations.exemplify(bucket, seconds, trace)
  }
}

export class RouteMeter {
  readonly route: string | undefined
  readonly aborted: Record<Phase, number> = { admission: 0, handler: 0, reply: 0 }
  readonly methods = new Map<string, MethodMeter>()
  readonly #active: (method: string) => { count: number }

  constructor (route: string | undefined, active: (method: string) => { count: number }) {
    this.route = route
    this.#active = active
  }

  method (method: string): MethodMeter {
    return this.methods.get(method) ?? this.#fold(method)
  }

  #fold (method: string): MethodMeter {
    const known = METHODS.has(method) ? method : OTHER
    let meter = this.methods.get(known)
    if (meter === undefined) this.methods.set(known, meter = new MethodMeter(this.route, known, this.#active(known)))
    return meter
  }
}

export class RequestMeter {
  readonly #routes = new Map<string | undefined, RouteMeter>()
  readonly #active = new Map<string, { count: number }>()

  /** The meter of a route's url; undefined is where no route matched. */
  route (url: string | undefined): RouteMeter {
    let meter = this.#routes.get(url)
    if (meter === undefined) this.#routes.set(url, meter = new RouteMeter(url, method => this.#activeOf(method)))
    return meter
  }

  #activeOf (method: string): { count: number } {
    let active = this.#active.get(method)
    if (active === undefined) this.#active.set(method, active = { count: 0 })
    return active
  }

  register (instruments: Instruments): void {
    instruments.add(requestDuration, add => this.#readDurations(add))
    instruments.add(activeRequests, add => {
      for (const [method, { count }] of this.#active) add(count, { 'http.request.method': method })
    })
    instruments.add(aborted, add => {
      for (const { route, aborted } of this.#routes.values()) {
        for (const [phase, count] of Object.entries(aborted)) if (count > 0) add(count, { route, phase })
      }
    })
  }

  #readDurations (add: Add): void {
    for (const { methods } of this.#routes.values()) {
      for (const { route, method, durations } of methods.values()) {
        for (const [status, histogram] of durations) {
          add(histogram, { 'http.request.method': method, 'http.route': route, 'http.response.status_code': status === NO_STATUS ? undefined : status })
        }
      }
    }
  }
}
