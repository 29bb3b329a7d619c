// V8's CPU and heap profiles as pprof's protocol buffers, which `go tool pprof` and every profile store read.
// https://github.com/google/pprof/blob/main/proto/profile.proto
import type { HeapProfiler, Profiler, Runtime } from 'node:inspector'
import { gzipSync } from 'node:zlib'
import { Function as PprofFunction, Line, Location, Profile, Sample, StringTable, ValueType } from 'pprof-format'

/** As V8 sends them; @types/node leaves out `id` and `samples`. */
interface HeapNode extends HeapProfiler.SamplingHeapProfileNode { id: number, children: HeapNode[] }
export interface HeapProfile { head: HeapNode, samples: Array<{ nodeId: number }> }

/** Time in which nothing ran. */
const IDLE = '(idle)'
const ROOT = '(root)'

class Writer {
  readonly #strings = new StringTable()
  readonly #locations = new Map<string, Location>()
  readonly #functions = new Map<string, PprofFunction>()
  readonly #samples: Sample[] = []
  readonly #types: ValueType[]

  constructor (...types: Array<[type: string, unit: string]>) {
    this.#types = types.map(type => this.#type(...type))
  }

  #type (type: string, unit: string): ValueType {
    return new ValueType({ type: this.#strings.dedup(type), unit: this.#strings.dedup(unit) })
  }

  /** The id of a frame's location; lines of V8 count from 0. */
  location ({ functionName, url, lineNumber, columnNumber }: Runtime.CallFrame): number {
    const key = `${url}:${lineNumber}:${columnNumber}:${functionName}`
    let location = this.#locations.get(key)
    if (location === undefined) {
      const id = this.#locations.size + 1
      const name = this.#strings.dedup(functionName || anonymous(url, lineNumber))
      const fn = new PprofFunction({ id, name, systemName: name, filename: this.#strings.dedup(url), startLine: lineNumber + 1 })
      location = new Location({ id, line: [new Line({ functionId: id, line: lineNumber + 1 })] })
      this.#functions.set(key, fn)
      this.#locations.set(key, location)
    }
    return location.id as number
  }

  /** @param stack the leaf first */
  sample (stack: number[], ...value: number[]): void {
    this.#samples.push(new Sample({ locationId: stack, value }))
  }

  write (period: number, periodType: [string, string], startedAt: number, nanoseconds: number): Buffer {
    const profile = new Profile({
      sampleType: this.#types,
      sample: this.#samples,
      location: [...this.#locations.values()],
      function: [...this.#functions.values()],
      stringTable: this.#strings,
      timeNanos: BigInt(Math.round(startedAt)) * 1_000_000n,
      durationNanos: Math.round(nanoseconds),
      periodType: this.#type(...periodType),
      period
    })
    return gzipSync(profile.encode())
  }
}

/** Profiles add up by name: without a place, all of them would be one function. */
function anonymous (url: string, line: number): string {
  return `(anonymous ${url.slice(url.lastIndexOf('/') + 1)}:${line + 1})`
}

/** @param startedAt milliseconds since 1970 */
export function cpuPprof ({ nodes, samples = [], timeDeltas = [], startTime, endTime }: Profiler.Profile, startedAt: number): Buffer {
  const writer = new Writer(['samples', 'count'], ['cpu', 'nanoseconds'])
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])))
  const taken = new Map<number, { count: number, microseconds: number }>()
  for (const [at, id] of samples.entries()) {
    const sum = taken.get(id) ?? { count: 0, microseconds: 0 }
    sum.count++
    // A delta is the time before its sample: what this sample stands for ends with the next one. The first is what passed until the start.
    sum.microseconds += Math.max(0, timeDeltas[at + 1] ?? 0)
    taken.set(id, sum)
  }
  for (const [id, { count, microseconds }] of taken) {
    if (byId.get(id)!.callFrame.functionName === IDLE) continue
    const stack: number[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { callFrame } = byId.get(at)!
      if (callFrame.functionName !== ROOT) stack.push(writer.location(callFrame))
    }
    writer.sample(stack, count, microseconds * 1_000)
  }
  const period = samples.length === 0 ? 0 : Math.round((endTime - startTime) * 1_000 / samples.length)
  return writer.write(period, ['cpu', 'nanoseconds'], startedAt, (endTime - startTime) * 1_000)
}

/** @param interval bytes between two samples @param kind 'inuse' is what is still alive, 'alloc' all that was allocated */
export function heapPprof ({ head, samples }: HeapProfile, interval: number, kind: 'inuse' | 'alloc', startedAt: number, ms: number): Buffer {
  const writer = new Writer(['samples', 'count'], [`${kind}_space`, 'bytes'])
  const counts = new Map<number, number>()
  for (const { nodeId } of samples) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1)

  function visit ({ id, callFrame, selfSize, children }: HeapNode, above: number[]): void {
    const stack = callFrame.functionName === ROOT ? above : [writer.location(callFrame), ...above]
    if (selfSize > 0) writer.sample(stack, counts.get(id) ?? 0, selfSize)
    for (const child of children) visit(child, stack)
  }
  visit(head, [])
  return writer.write(interval, ['space', 'bytes'], startedAt, ms * 1e6)
}
