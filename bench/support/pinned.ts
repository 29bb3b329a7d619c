// Child processes on a core of their own, so that the load does not take its CPU time from the server that it measures.
import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'

/** False where there is one core, or no taskset: then the scheduler decides. */
export const pinning = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0

export interface Child {
  /** Sends a message and resolves with the answer. One at a time. */
  ask: (message: unknown) => Promise<any>
  end: () => void
}

/** Options of fork() for a TypeScript module on the given core, with flags for Node. */
export function pinnedTo (core: number, flags: string[] = []): { execPath?: string, execArgv: string[] } {
  const node = ['--import', 'tsx', ...flags]
  return pinning ? { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath, ...node] } : { execArgv: node }
}

/** Moves this process to the given core. */
export function pinSelf (core: number): void {
  if (pinning) spawnSync('taskset', ['-acp', String(core), String(process.pid)])
}

/** Starts a module, which says something once it is ready, on the given core. */
export async function forkPinned (module: URL, args: string[], core: number): Promise<Child> {
  const child = fork(module, args, { serialization: 'advanced', ...pinnedTo(core) })
  await answer(child)
  return {
    async ask (message) {
      child.send(message as object)
      return await answer(child)
    },
    end () {
      if (child.connected) child.disconnect()
    }
  }
}

async function answer (child: ChildProcess): Promise<unknown> {
  const listening = new AbortController()
  const { signal } = listening
  try {
    const [message] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(([code, killed]) => { throw new Error(`the child process ended: ${killed ?? `exit code ${code}`}`) })
    ])
    return message
  } finally {
    listening.abort()
  }
}
