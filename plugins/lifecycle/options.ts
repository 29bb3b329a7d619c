// The options of the lifecycle plugin: where the probes answer and how long the server takes to say goodbye.
import { BadOption } from '../shared/errors.ts'
import { either, milliseconds, oneOf, path, readOptions, type Rules } from '../shared/check.ts'

export interface Lifecycle {
  /** Path that answers 200 while the process lives; false for none. @default '/livez' */
  livez: string | false
  /** Path that answers 200 once the server is started and until it drains, 503 else; false for none. @default '/readyz' */
  readyz: string | false
  /** Milliseconds that a draining server goes on serving before it closes, so that balancers see `readyz` first. An integer ≥ 0. @default 0 */
  drainDelay: number
  /** Milliseconds after which `close()` destroys the connections that are still open. An integer ≥ 1. @default 20000 */
  closeTimeout: number
}

export type LifecycleOptions = Partial<Lifecycle>

const defaults: Lifecycle = { livez: '/livez', readyz: '/readyz', drainDelay: 0, closeTimeout: 20_000 }

const rules: Rules<Lifecycle> = {
  livez: either(path, oneOf(false)),
  readyz: either(path, oneOf(false)),
  drainDelay: milliseconds(0),
  closeTimeout: milliseconds()
}

/** @throws FST_SURGE_BAD_OPTION */
export function readLifecycle (input: LifecycleOptions): Lifecycle {
  const options = readOptions('lifecycle', input, rules, defaults)
  if (options.livez !== false && options.livez === options.readyz) {
    throw new BadOption(`Expected \`lifecycle.livez\` and \`lifecycle.readyz\` to differ, got '${options.livez}' for both`)
  }
  return options
}
