// Runs what computes in threads, on piscina, behind a bounded queue. It prevents one heavy task from standing still
// every request of the process, and a burst of them from piling up without an end.
import { systemClock } from '../shared/clock.ts'
import { definePlugin } from '../shared/define-plugin.ts'
import { readTask, readWorkerPool, type ResolvedOptions, type WorkerPoolOptions, type WorkerRunOptions } from './options.ts'
import { WorkerPool as Pool, type WorkerPoolStats } from './pool.ts'

export type { WorkerPoolOptions, WorkerPoolStats, WorkerRunOptions }

export interface WorkerPool {
  /**
   * Calls an export of the module in a thread, with a copy of `payload`.
   * @throws what the export throws, with its stack, name, code and other own properties
   * @throws FST_SURGE_QUEUE_FULL, FST_SURGE_QUEUE_TIMEOUT, FST_SURGE_EVICTED, FST_SURGE_DRAINING (503)
   * @throws FST_SURGE_BAD_OPTION (500) for options that are none, or an export that is not there
   * @throws FST_SURGE_WORKER_CRASHED (500) when the thread died before the task ended
   * @throws the reason of `signal` when that aborts
   */
  run: <Result = unknown>(payload: unknown, options?: WorkerRunOptions) => Promise<Result>
  stats: () => WorkerPoolStats
}

declare module 'fastify' {
  interface FastifyInstance {
    workerPool: WorkerPool
  }
}

export default definePlugin<WorkerPoolOptions, ResolvedOptions, Pool>({
  name: 'worker-pool',
  key: 'workerPool',
  read: readWorkerPool,
  perServer: false,
  decorates: ['workerPool'],

  async create (app, options) {
    const pool = new Pool(options, systemClock, function logCrash (err) {
      app.log.error({ err, filename: options.filename }, 'a worker thread crashed')
    })
    try {
      await pool.check()
    } catch (error) {
      await pool.close()
      throw error
    }
    return pool
  },

  attach (app, pool) {
    app.decorate('workerPool', {
      run: async (payload, options) => pool.run(payload, readTask(options)),
      stats: () => pool.stats()
    })
    app.addHook('onClose', async function surgeCloseWorkers () {
      await pool.close()
    })
  }
})
