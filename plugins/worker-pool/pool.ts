// A gate in front of piscina: at most as many tasks are handed over as there may be threads, so that piscina's own
// queue, which has no bound by default and never times out, stays empty.
//
//   run ─▶ gate: a thread free? ─yes─▶ thread ─▶ result | error | crash ─▶ the slot goes to the next who waits
//               │no                      └ abort: the thread ends ────────▶
//               ▼
//        room? ─yes─▶ WAIT ─▶ thread | 503 at maxWait | abort: gone
//               │no
//               ▼
//              503
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { isObject, show } from '../shared/check.ts'
import type { Clock } from '../shared/clock.ts'
import { Draining, WorkerCrashed } from '../shared/errors.ts'
import { Gate } from '../shared/gate/gate.ts'
import type { GateStats } from '../shared/gate/gate-stats.ts'
import { FixedLimit } from '../shared/gate/limit.ts'
import { runInGate } from '../shared/gate/run-in-gate.ts'
import { moduleUrl, type ResolvedOptions, type TaskOptions } from './options.ts'
import { isThrown, unpack } from './thrown.ts'
import type { Task } from './worker.ts'

export interface WorkerPoolStats extends Pick<GateStats, 'state' | 'limit' | 'inflight' | 'queued' | 'service' | 'gone' | 'shed'> {
  /** Threads alive now. */
  threads: number
  /** Tasks that returned, since boot. */
  completed: number
  /** Tasks that threw, or whose payload could not be sent, since boot. */
  failed: number
  /** Tasks whose signal aborted while they ran, since boot. */
  cancelled: number
  /** Threads that died by themselves, since boot. */
  crashed: number
}

const worker = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url))
const RUN = 'runTask' satisfies keyof typeof import('./worker.ts')
const CHECK = 'checkModule' satisfies keyof typeof import('./worker.ts')

export class WorkerPool {
  readonly #options: ResolvedOptions
  readonly #clock: Clock
  readonly #gate: Gate
  readonly #piscina: Piscina
  readonly #module: string
  readonly #onCrash: (error: Error) => void
  /** One for each task that was handed over. */
  readonly #handedOver = new Set<AbortController>()
  readonly #watched = new WeakSet<Worker>()
  /** What killed a thread, by what piscina rejects its task with. */
  readonly #causes = new WeakMap<object, Error>()
  #closed = false
  #completed = 0
  #failed = 0
  #cancelled = 0
  #crashed = 0

  constructor (options: ResolvedOptions, clock: Clock, onCrash: (error: Error) => void) {
    const { filename, minThreads, maxThreads, idleTimeout, maxQueue, maxWait, resourceLimits, workerData, env, execArgv } = options
    this.#options = options
    this.#clock = clock
    this.#onCrash = onCrash
    this.#module = moduleUrl(filename)
    // First come, first served: a handler may start many tasks at once and needs all of them, so that a queue which stands
    // for longer than a task takes is no sign of congestion. A task has no client of its own, so there are no orphans.
    this.#gate = new Gate({ limit: new FixedLimit(maxThreads), maxQueue, maxWait, target: Infinity, orphanTimeout: Infinity }, clock)
    this.#piscina = new Piscina({ filename: worker, name: RUN, minThreads, maxThreads, idleTimeout, resourceLimits, workerData, env: env as NodeJS.Dict<string>, execArgv, recordTiming: false })
    // Emitted for threads that die with no task. They are counted below; without a listener it would end the process.
    this.#piscina.on('error', noop)
    this.#watch()
  }

  /** Loads the module in every thread that is kept. @throws FST_SURGE_BAD_OPTION */
  async check (): Promise<void> {
    const { minThreads, name } = this.#options
    await Promise.all(Array.from({ length: Math.max(1, minThreads) }, () => this.#handOver(CHECK, { module: this.#module, name, payload: undefined }, {}, noop)))
  }

  run<Result> (payload: unknown, { name = this.#options.name, signal, priority, transferList }: TaskOptions): Promise<Result> {
    const task = { module: this.#module, name, payload }
    return new Promise((resolve, reject) => {
      runInGate(this.#gate, () => this.#count(this.#handOver(RUN, task, { signal, transferList }, reject), signal), priority, signal)
        .then(resolve as (result: unknown) => void, reject)
    })
  }

  stats (): WorkerPoolStats {
    const { state, limit, inflight, queued, service, gone, shed } = this.#gate.stats()
    return { state, threads: this.#piscina.threads.length, limit, inflight, queued, service, completed: this.#completed, failed: this.#failed, cancelled: this.#cancelled, crashed: this.#crashed, gone, shed }
  }

  /** Lets what runs and waits finish for `closeTimeout`, then ends every thread; resolves when all have ended. */
  async close (): Promise<void> {
    let timer: unknown
    await Promise.race([
      this.#gate.drain(),
      new Promise<void>(resolve => { timer = this.#clock.setTimeout(resolve, this.#options.closeTimeout) })
    ])
    this.#clock.clearTimeout(timer)
    this.#closed = true
    await Promise.all([...this.#handedOver].map(controller => this.#abort(controller)))
    await this.#piscina.destroy()
  }

  async #count (running: Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
    try {
      const result = await running
      this.#completed++
      return result
    } catch (error) {
      if (signal?.aborted && error === signal.reason) this.#cancelled++
      else if (!(error instanceof WorkerCrashed)) this.#failed++
      throw error
    }
  }

  /**
   * Settles when the thread is free again or has ended, which for an abort may be after `giveUp` was called: a thread in
   * native code ends only when that returns, and giving its slot away before would let aborts start any number of threads.
   */
  async #handOver (run: string, task: Task, { signal, transferList }: Pick<TaskOptions, 'signal' | 'transferList'>, giveUp: (reason: unknown) => void): Promise<unknown> {
    if (this.#closed) throw new Draining()
    signal?.throwIfAborted()
    const controller = new AbortController()
    let ended: Promise<unknown> | undefined
    const cancel = (): void => {
      giveUp(signal!.reason)
      ended = this.#abort(controller)
    }
    signal?.addEventListener('abort', cancel)
    this.#handedOver.add(controller)
    try {
      const running = this.#piscina.run(task, { name: run, transferList, signal: controller.signal })
      this.#watch()
      return await running
    } catch (error) {
      if (ended !== undefined) {
        await ended
        throw signal!.reason
      }
      throw this.#failure(error, controller.signal)
    } finally {
      this.#handedOver.delete(controller)
      signal?.removeEventListener('abort', cancel)
    }
  }

  /** Makes piscina end the thread of a task, or forget the task; resolves when the thread has ended. */
  async #abort (controller: AbortController): Promise<void> {
    const before = this.#piscina.threads
    controller.abort()
    const after = new Set(this.#piscina.threads)
    this.#watch()
    this.#failStranded()
    await before.find(thread => !after.has(thread))?.terminate()
  }

  /** What `run()` rejects with for what piscina rejected with. */
  #failure (error: unknown, { aborted }: AbortSignal): unknown {
    if (isThrown(error)) return unpack(error)
    if (aborted) return this.#closed ? new Draining() : new WorkerCrashed({ cause: new Error('No thread could be started') })
    if (!isObject(error)) return new WorkerCrashed({ cause: asError(error) })
    const cause = this.#causes.get(error)
    if (cause !== undefined) return new WorkerCrashed({ cause })
    if (String(error.message).startsWith('worker exited with code')) return new WorkerCrashed({ cause: error })
    // The payload could not be cloned: the caller's own doing, and the thread never saw it.
    return error
  }

  #watch (): void {
    for (const thread of this.#piscina.threads) {
      if (this.#watched.has(thread)) continue
      this.#watched.add(thread)
      // Before piscina's own listeners, which take it out of the pool and so hide whether it was to end.
      thread.prependListener('error', error => this.#died(thread, error))
      thread.prependListener('exit', code => this.#died(thread, new Error(`The thread exited with code ${code}`)))
    }
  }

  #died (thread: Worker, thrown: unknown): void {
    if (!this.#piscina.threads.includes(thread)) return
    const cause = asError(thrown)
    this.#crashed++
    if (isObject(thrown)) this.#causes.set(thrown, cause)
    this.#onCrash(cause)
    queueMicrotask(() => {
      this.#watch()
      this.#failStranded()
    })
  }

  /** piscina starts no other thread for one that failed to start, and leaves the tasks meant for it waiting for ever. */
  #failStranded (): void {
    if (this.#piscina.threads.length > 0) return
    for (const controller of this.#handedOver) controller.abort()
  }
}

function asError (thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`The thread threw ${show(thrown)}, which is no Error (results that cannot be cloned arrive as {})`)
}

function noop () {}
