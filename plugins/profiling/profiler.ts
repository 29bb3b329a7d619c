// Takes one profile at a time through node:inspector, in this process, and ends it early when nobody waits for it any more.
import { Session, type Profiler as Cpu } from 'node:inspector'
import type { Readable } from 'node:stream'
import { getHeapSnapshot } from 'node:v8'
import { cpuPprof, heapPprof, type HeapProfile } from './pprof.ts'

export type Kind = 'profile' | 'heap' | 'allocs'

/** A sample every so many bytes; V8's own default is as much. */
const HEAP_INTERVAL = 32 * 1024

export class Profiler {
  #running: (() => void) | undefined

  get busy (): boolean {
    return this.#running !== undefined
  }

  /** Ends the profile that is being taken, which then resolves with what there is. */
  stop (): void {
    this.#running?.()
  }

  /** Every object of the heap, as V8 writes it; the process stands still until it begins. Must not be called while `busy`. */
  snapshot (): Readable {
    const snapshot = getHeapSnapshot()
    this.#running = () => {}
    snapshot.once('close', () => { this.#running = undefined })
    return snapshot
  }

  /** The profile of the next `ms` milliseconds, as gzipped pprof. Must not be called while `busy`. */
  async take (kind: Kind, ms: number): Promise<Buffer> {
    const session = new Session()
    session.connect()
    const startedAt = Date.now()
    try {
      start(session, kind)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, ms)
        this.#running = () => { clearTimeout(timer); resolve() }
      })
      return finish(session, kind, startedAt)
    } finally {
      this.#running = undefined
      session.disconnect()
    }
  }
}

/** V8 answers before post() returns. */
function post<T> (session: Session, method: string, params: object = {}): T {
  let answer: { error: Error | null, result: T } | undefined
  session.post(method, params, (error, result) => { answer = { error, result: result as T } })
  if (answer!.error !== null) throw answer!.error
  return answer!.result
}

function start (session: Session, kind: Kind): void {
  if (kind === 'profile') {
    post(session, 'Profiler.enable')
    post(session, 'Profiler.start')
    unfoldInlined(session)
    return
  }
  const collected = kind === 'allocs'
  post(session, 'HeapProfiler.enable')
  post(session, 'HeapProfiler.startSampling', { samplingInterval: HEAP_INTERVAL, includeObjectsCollectedByMajorGC: collected, includeObjectsCollectedByMinorGC: collected })
}

/**
 * V8 knows what it has inlined only of code that it optimised while somebody profiled: on Node 22 and later all time of a hot
 * function would be its caller's. To begin precise coverage throws all optimised code away, and what is hot is soon compiled
 * anew. A process that is under coverage keeps it instead.
 */
function unfoldInlined (session: Session): void {
  if (process.env.NODE_V8_COVERAGE !== undefined) return
  post(session, 'Profiler.startPreciseCoverage', { callCount: false, detailed: false })
  post(session, 'Profiler.stopPreciseCoverage')
}

function finish (session: Session, kind: Kind, startedAt: number): Buffer {
  if (kind === 'profile') return cpuPprof(post<{ profile: Cpu.Profile }>(session, 'Profiler.stop').profile, startedAt)
  const { profile } = post<{ profile: HeapProfile }>(session, 'HeapProfiler.stopSampling')
  return heapPprof(profile, HEAP_INTERVAL, kind === 'heap' ? 'inuse' : 'alloc', startedAt, Date.now() - startedAt)
}
