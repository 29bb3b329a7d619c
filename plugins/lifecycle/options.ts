// The options of the lifecycle plugin: where the probes answer, and how long the server takes to say goodbye.
import { BadOption } from '../shared/errors.ts'
import { boolean, either, listOf, milliseconds, number, object, oneOf, path, readOptions, type Rule, type Rules } from '../shared/check.ts'
import { address, portNumber, type Address } from '../shared/own-listener.ts'
import type { Signal } from './signals.ts'

export interface Readiness {
  /** @default '/readyz' */
  path?: string
  /** Share of requests that the server had to refuse with 503, over 10 s, at which it is not ready; above 0, at most 1. @default false */
  saturation?: number | false
}

export interface LifecycleOptions {
  /** Path that answers 200 while the process lives; false for none. @default '/livez' */
  livez?: string | false
  /** Path that answers 200 once the server is started and until it drains, 503 else; false for none. @default '/readyz' */
  readyz?: string | false | Readiness
  /** Port of a listener of their own for the probes, which the app's does not answer then; 0 is any free one. @default false */
  port?: number | Address | false
  /** Milliseconds that a draining server goes on serving before it closes, so that balancers see `readyz` first. An integer ≥ 0. @default 0; 5000 with `signals` */
  drainDelay?: number
  /** Milliseconds after which `close()` destroys the connections that are still open. An integer ≥ 1. @default 20000 */
  closeTimeout?: number
  /** Signals that close the app and end the process; true for SIGTERM and SIGINT. @default false */
  signals?: boolean | Signal[]
}

export interface Lifecycle {
  livez: string | false
  readyz: string | false
  saturation: number | false
  listener: Address | false
  drainDelay: number
  closeTimeout: number
  signals: readonly Signal[]
}

const READYZ = '/readyz'
const DRAIN_DELAY_BY_SIGNAL = 5_000

const share: Rule = { expects: 'a number above 0 and at most 1', accepts: value => number(0, 1).accepts(value) && value !== 0 }
const readiness: Rule = object((input, at) => readOptions<Required<Readiness>>(at, input, { path, saturation: either(share, oneOf(false)) }, { path: READYZ, saturation: false }))

const rules: Rules<LifecycleOptions> = {
  livez: either(path, oneOf(false)),
  readyz: either(path, oneOf(false), readiness),
  port: either({ ...portNumber, read: port => ({ port }) }, address, oneOf(false)),
  drainDelay: milliseconds(0),
  closeTimeout: milliseconds(),
  signals: either(boolean, listOf('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'))
}

/** @throws FST_SURGE_BAD_OPTION */
export function readLifecycle (input: LifecycleOptions): Lifecycle {
  const { livez = '/livez', readyz = READYZ, port = false, closeTimeout = 20_000, signals = false, ...given } = readOptions<LifecycleOptions>('lifecycle', input, rules, {})
  const { path, saturation } = typeof readyz === 'object' ? readyz as Required<Readiness> : { path: readyz, saturation: false as const }
  if (livez !== false && livez === path) {
    throw new BadOption(`Expected \`lifecycle.livez\` and \`lifecycle.readyz\` to differ, got '${livez}' for both`)
  }
  return {
    livez,
    readyz: path,
    saturation,
    listener: port as Address | false,
    drainDelay: given.drainDelay ?? (signals === false ? 0 : DRAIN_DELAY_BY_SIGNAL),
    closeTimeout,
    signals: signals === true ? ['SIGTERM', 'SIGINT'] : signals === false ? [] : signals
  }
}
