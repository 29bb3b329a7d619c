// Numbers in, a verdict out: whether the process is past one of its limits, and which. It prevents a server from
// taking on work that it cannot finish before its loop stalls or its memory ends.

/** The names are @fastify/under-pressure's. */
export type PressureType = 'eventLoopDelay' | 'heapUsedBytes' | 'rssBytes' | 'healthCheck' | 'eventLoopUtilization'

export interface Sample {
  /** Milliseconds that the event loop was late. */
  eventLoopDelay: number
  /** Bytes. */
  heapUsed: number
  /** Bytes. */
  rssBytes: number
  /** From 0 to 1. */
  eventLoopUtilized: number
}

export interface Limits {
  maxEventLoopDelay: number | false
  maxHeapUsedBytes: number | false
  maxRssBytes: number | false
  maxEventLoopUtilization: number | false
}

/** The first limit that the sample is past, in @fastify/under-pressure's order; exactly at a limit is not past it. */
export function verdict (sample: Sample, healthy: boolean, limits: Limits): PressureType | undefined {
  if (past(sample.eventLoopDelay, limits.maxEventLoopDelay)) return 'eventLoopDelay'
  if (past(sample.heapUsed, limits.maxHeapUsedBytes)) return 'heapUsedBytes'
  if (past(sample.rssBytes, limits.maxRssBytes)) return 'rssBytes'
  if (!healthy) return 'healthCheck'
  if (past(sample.eventLoopUtilized, limits.maxEventLoopUtilization)) return 'eventLoopUtilization'
  return undefined
}

function past (value: number, limit: number | false): boolean {
  return limit !== false && value > limit
}

/** What a pressureHandler is told as `value`. */
export function measured (type: PressureType, sample: Sample): number | undefined {
  switch (type) {
    case 'eventLoopDelay': return sample.eventLoopDelay
    case 'heapUsedBytes': return sample.heapUsed
    case 'rssBytes': return sample.rssBytes
    case 'eventLoopUtilization': return sample.eventLoopUtilized
    case 'healthCheck': return undefined
  }
}
