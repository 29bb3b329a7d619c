// The process below the requests: how late its event loop is, how busy, what the garbage collector took, and memory.
// Delay and utilization are of a window, and one window serves all who read, so that a second scraper or a page does
// not shorten the first one's.
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8'
import { constants, monitorEventLoopDelay, performance, PerformanceObserver, type EventLoopUtilization, type IntervalHistogram } from 'node:perf_hooks'
import { Histogram } from '../shared/histogram.ts'
import type { Instrument, Instruments } from '../shared/instruments.ts'

const RESOLUTION_MS = 10
/** A reader that comes earlier gets the last window again. */
const SHORTEST_WINDOW_MS = 10_000
const GC_BOUNDS = [0.001, 0.01, 0.1, 1, 10]
const GC_TYPES: Record<number, string> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb'
}

const DELAYS = ['min', 'max', 'mean', 'p50', 'p90', 'p99'] as const
type Delay = typeof DELAYS[number]

export interface Window { delays: Record<Delay, number>, utilization: number }

/** Seconds of lateness: what the histogram holds is the whole length of an iteration, the timer's own included. */
export function readDelays (histogram: Pick<IntervalHistogram, 'min' | 'max' | 'mean' | 'percentile' | 'count'>): Record<Delay, number> {
  const late = (nanoseconds: number): number => histogram.count === 0 ? 0 : Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3)
  return {
    min: late(histogram.min),
    max: late(histogram.max),
    mean: late(histogram.mean),
    p50: late(histogram.percentile(50)),
    p90: late(histogram.percentile(90)),
    p99: late(histogram.percentile(99))
  }
}

export class Runtime {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #gc = new Map<string, Histogram>()
  readonly #observer: PerformanceObserver
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()
  #since = performance.now()
  #window: Window | undefined

  constructor () {
    this.#observer = new PerformanceObserver(list => {
      for (const { duration, detail } of list.getEntries() as any) {
        const type = GC_TYPES[detail.kind] ?? 'other'
        let durations = this.#gc.get(type)
        if (durations === undefined) this.#gc.set(type, durations = new Histogram(GC_BOUNDS))
        durations.observe(duration / 1000)
      }
    })
  }

  start (): void {
    this.#histogram.enable()
    this.#observer.observe({ entryTypes: ['gc'] })
    this.#utilization = performance.eventLoopUtilization()
    this.#since = performance.now()
  }

  stop (): void {
    this.#histogram.disable()
    this.#observer.disconnect()
  }

  /** The last window of 10 s or more; what there is so far when none is complete. */
  window (): Window {
    const now = performance.now()
    const complete = now - this.#since >= SHORTEST_WINDOW_MS
    if (this.#window !== undefined && !complete) return this.#window
    const total = performance.eventLoopUtilization()
    const read = { delays: readDelays(this.#histogram), utilization: performance.eventLoopUtilization(total, this.#utilization).utilization }
    if (complete) {
      this.#window = read
      this.#utilization = total
      this.#since = now
      this.#histogram.reset()
    }
    return read
  }

  register (instruments: Instruments): void {
    const gauge = (name: string, help: string, unit?: 's' | 'By', across?: 'max'): Instrument => ({ name, type: 'gauge', help, ...(unit && { unit }), ...(across && { across }) })
    for (const delay of DELAYS) {
      instruments.add(gauge(`nodejs.eventloop.delay.${delay}`, `How late the event loop was: ${delay} of the last 10 s or more`, 's', 'max'), add => add(this.window().delays[delay]))
    }
    instruments.add(gauge('nodejs.eventloop.utilization', 'Share of the last 10 s or more that the event loop was busy', undefined, 'max'), add => add(this.window().utilization))
    instruments.add({ name: 'v8js.gc.duration', type: 'histogram', unit: 's', help: 'Garbage collections' }, add => {
      for (const [type, durations] of this.#gc) add(durations, { 'v8js.gc.type': type })
    })
    instruments.add(gauge('v8js.memory.heap.used', 'Heap in use, by space', 'By'), add => {
      for (const { space_name: name, space_used_size: used } of getHeapSpaceStatistics()) add(used, { 'v8js.heap.space.name': name })
    })
    instruments.add(gauge('v8js.memory.heap.max', 'The heap that V8 may grow to', 'By'), add => add(getHeapStatistics().heap_size_limit))
    instruments.add(gauge('process.memory.usage', 'Resident memory', 'By'), add => add(process.memoryUsage.rss()))
    instruments.add({ name: 'process.cpu.time', type: 'counter', unit: 's', help: 'CPU time of the process' }, add => {
      const { user, system } = process.cpuUsage()
      add(user / 1e6, { 'cpu.mode': 'user' })
      add(system / 1e6, { 'cpu.mode': 'system' })
    })
    instruments.add(gauge('process.uptime', 'Time since the process started', 's'), add => add(process.uptime()))
    instruments.add(gauge('nodejs.resources.active', 'What keeps the event loop alive, by type'), add => {
      const counts = new Map<string, number>()
      for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1)
      for (const [type, count] of counts) add(count, { type })
    })
  }
}
