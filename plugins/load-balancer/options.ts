// The options of the load-balancer plugin: which balancers ask, and how.
import { boolean, either, integer, oneOf, readOptions, type Rules } from '../shared/check.ts'
import { address, type Address } from '../shared/own-listener.ts'

export interface LoadBalancer {
  /** Where HAProxy's `agent-check` asks: `port` is an integer from 0 (any free one) to 65535, `host` an address, by default all of the machine. HAProxy's server needs `weight 100`. @default false */
  agentCheck: Address | false
  /** Each reply to a trusted peer tells the server's load, as Envoy reads it (ORCA). @default false */
  orca: boolean
  /** Balancers that share this server, each of which may send it its part of what it can take. An integer ≥ 1. @default 1 */
  lbCount: number
}

export type LoadBalancerOptions = Partial<LoadBalancer>

const defaults: LoadBalancer = { agentCheck: false, orca: false, lbCount: 1 }

const rules: Rules<LoadBalancer> = {
  agentCheck: either(address, oneOf(false)),
  orca: boolean,
  lbCount: integer(1)
}

/** @throws FST_SURGE_BAD_OPTION */
export function readLoadBalancer (input: LoadBalancerOptions): LoadBalancer {
  return readOptions('loadBalancer', input, rules, defaults)
}
