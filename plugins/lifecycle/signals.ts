// Ends the process in good order when it is told to, through close-with-grace. It has one set of listeners for all apps of
// the process: with one each, the first that had closed would exit under the others.
import closeWithGrace from 'close-with-grace'

export type Signal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGQUIT' | 'SIGUSR2'

export interface Closing {
  signals: readonly Signal[]
  /** Milliseconds that closing may take. */
  within: number
  log: { error: (...args: any[]) => void, info: (...args: any[]) => void }
  close: () => Promise<unknown>
}

/** Those of close-with-grace that are not asked for; an error that nobody caught is the app's to judge. */
const EVENTS = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'SIGTERM', 'uncaughtException', 'unhandledRejection', 'beforeExit'] as const

const apps = new Set<Closing>()
let uninstall = noop
let closing = false

/** Closes the app at these signals, then exits: 0, or 1 when closing failed, took too long, or a second signal came. Returns what takes it back. */
export function closeOnSignals (app: Closing): () => void {
  apps.add(app)
  install()
  return function takeBack () {
    apps.delete(app)
    install()
  }
}

function install (): void {
  // The listeners for a second signal are there now, and stay.
  if (closing) return
  uninstall()
  uninstall = noop
  const [first] = apps
  if (first === undefined) return
  const signals = new Set<string>([...apps].flatMap(app => app.signals))
  uninstall = closeWithGrace({
    delay: Math.max(...[...apps].map(app => app.within)),
    logger: first.log,
    skip: EVENTS.filter(event => !signals.has(event))
  }, async function closeApps ({ signal }) {
    closing = true
    first.log.info(`${signal}: closing`)
    const closed = await Promise.allSettled([...apps].map(app => app.close()))
    const failed = closed.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }).uninstall
}

function noop () {}
