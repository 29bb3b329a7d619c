// The options of the worker-pool plugin: piscina's that make sense behind a bound, and the bound.
import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SHARE_ENV, type ResourceLimits, type TransferListItem } from 'node:worker_threads'
import { abortSignal, anything, integer, isObject, milliseconds, number, object, oneOf, readOptions, readValue, string, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import type { Priority } from '../shared/gate/waiter.ts'

export interface ResolvedOptions {
  /** The module that threads load: an absolute path or a file URL. Required. */
  filename: string
  /** The export that `run()` calls when it names none. @default 'default' */
  name: string
  /** Threads that are kept when idle. An integer from 0 to `maxThreads`. @default 1 */
  minThreads: number
  /** Threads at most; each runs one task at a time. An integer ≥ 1. @default availableParallelism() − 1, at least 1: one core is the event loop's */
  maxThreads: number
  /** Milliseconds after which an idle thread beyond `minThreads` ends. An integer ≥ 1. @default 30000 */
  idleTimeout: number
  /** Tasks that wait for a thread at the same time; 0 refuses at once. An integer ≥ 0. @default 16 × maxThreads */
  maxQueue: number
  /**
   * Milliseconds that a task waits at most. An integer ≥ 1.
   * @default 2000: what a full queue needs at 125 ms a task (16 × 125), longer than a gate's 500 since a task worth a thread is
   */
  maxWait: number
  /** Milliseconds that close() leaves to tasks that run or wait, before it ends their threads. An integer ≥ 1. @default 5000 */
  closeTimeout: number
  /** Node's limits of a thread, in MiB: past them it dies alone. @default Node's */
  resourceLimits: ResourceLimits | undefined
  /** What threads see as `workerData` of node:worker_threads. */
  workerData: unknown
  /** The `process.env` of threads, or `SHARE_ENV`. @default a copy */
  env: Record<string, string | undefined> | typeof SHARE_ENV | undefined
  /** Node's command line options for threads. @default the process's own */
  execArgv: string[] | undefined
}

export type WorkerPoolOptions = Partial<Omit<ResolvedOptions, 'filename'>> & {
  /** The module that threads load: an absolute path or a file URL. */
  filename: string | URL
}

const TASKS_PER_THREAD_QUEUED = 16

const filename: Rule = {
  expects: 'the absolute path or file URL of a module',
  accepts: value => value instanceof URL
    ? value.protocol === 'file:'
    : typeof value === 'string' && (value.startsWith('file:') ? URL.canParse(value) : isAbsolute(value)),
  read: (value: string | URL) => typeof value === 'string' && !value.startsWith('file:') ? value : fileURLToPath(value)
}

const resourceLimits: Rules<ResourceLimits> = {
  maxOldGenerationSizeMb: number(1),
  maxYoungGenerationSizeMb: number(1),
  codeRangeSizeMb: number(0),
  stackSizeMb: number(1)
}

const rules: Rules<ResolvedOptions> = {
  filename,
  name: string,
  minThreads: integer(0),
  maxThreads: integer(1),
  idleTimeout: milliseconds(),
  maxQueue: integer(0),
  maxWait: milliseconds(),
  closeTimeout: milliseconds(),
  resourceLimits: object((limits, path) => readOptions(path, limits, resourceLimits, {})),
  workerData: anything,
  env: { expects: 'an object, or SHARE_ENV of node:worker_threads', accepts: value => value === SHARE_ENV || isObject(value) },
  execArgv: { expects: 'a list of strings', accepts: value => Array.isArray(value) && value.every(argument => typeof argument === 'string') }
}

/** @throws FST_SURGE_BAD_OPTION */
export function readWorkerPool (input: WorkerPoolOptions): ResolvedOptions {
  const options = readOptions<ResolvedOptions>('workerPool', input, rules, {
    filename: '',
    name: 'default',
    minThreads: 1,
    maxThreads: Math.max(1, availableParallelism() - 1),
    idleTimeout: 30_000,
    maxQueue: -1,
    maxWait: 2000,
    closeTimeout: 5000,
    resourceLimits: undefined,
    workerData: undefined,
    env: undefined,
    execArgv: undefined
  })
  if (options.filename === '') readValue('workerPool.filename', undefined, filename)
  if (options.minThreads > options.maxThreads) {
    throw new BadOption(`Expected \`workerPool.minThreads\` to be at most \`maxThreads\`, ${options.maxThreads}, got ${options.minThreads}`)
  }
  if (options.maxQueue < 0) options.maxQueue = TASKS_PER_THREAD_QUEUED * options.maxThreads
  return options
}

export interface WorkerRunOptions {
  /** The export to call. @default the plugin's `name` */
  name?: string
  /** Ends the wait; cancels a task that runs by ending its thread. `run()` rejects with its reason. */
  signal?: AbortSignal
  /** 0 is critical, 2 is first to go when the queue is full. @default 1 */
  priority?: Priority
  /** Parts of the payload that are moved to the thread instead of copied. */
  transferList?: TransferListItem[]
}

export type TaskOptions = WorkerRunOptions & { priority: Priority }

const taskRules: Rules<WorkerRunOptions> = {
  name: string,
  signal: abortSignal,
  priority: oneOf(0, 1, 2),
  transferList: { expects: 'a list of what is moved', accepts: Array.isArray }
}

/** @throws FST_SURGE_BAD_OPTION */
export function readTask (input: WorkerRunOptions | undefined): TaskOptions {
  return readOptions<TaskOptions>('task', input, taskRules, { priority: 1 })
}

/** What `import()` takes. */
export function moduleUrl (path: string): string {
  return pathToFileURL(path).href
}
