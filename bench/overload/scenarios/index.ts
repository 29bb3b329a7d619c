// All scenarios, in the order of the report.
import type { Scenario } from '../scenario.ts'
import { cost } from './cost.ts'
import { serviceStep, sweep } from './defaults.ts'
import { oneClient, priorities, slowDownstream } from './fairness.ts'
import { cpu, downstream, fastDownstream } from './goodput.ts'
import { metastable, step } from './recovery.ts'
import { abortStorm, inFlight500, livez } from './safety.ts'

export const scenarios: Record<string, Scenario> = {
  downstream,
  'fast-downstream': fastDownstream,
  cpu,
  sweep,
  'service-step': serviceStep,
  step,
  metastable,
  priorities,
  'one-client': oneClient,
  'slow-downstream': slowDownstream,
  'abort-storm': abortStorm,
  'in-flight-500': inFlight500,
  livez,
  cost
}
