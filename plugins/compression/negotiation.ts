// Chooses the content coding by Accept-Encoding (RFC 9110 section 12.5.3). It prevents sending a client a coding that
// it excluded with q=0, by name, by `*` or by leaving it out.

export const ENCODINGS = ['zstd', 'br', 'gzip', 'deflate'] as const
export type Encoding = typeof ENCODINGS[number]

export interface Choice {
  readonly encoding: Encoding | 'identity'
  /** False when the request excludes plain bytes: then even a small body is encoded. */
  readonly identity: boolean
  /** False when the field names codings and none of them, nor a wildcard, nor identity, can be had. */
  readonly listed: boolean
}

/** The client said nothing, or nothing that can be read: plain bytes are right. */
export const PLAIN: Choice = { encoding: 'identity', identity: true, listed: true }

/** Real clients send a handful of different fields; whoever invents new ones clears a small table. */
const REMEMBERED_FIELDS = 64
const REMEMBERED_LENGTH = 256

export class Negotiator {
  /** In order of preference where the client has none; 'identity' last unless it is listed. */
  readonly #order: ReadonlyArray<Encoding | 'identity'>
  readonly #known = new Map<string, Choice>()

  constructor (order: ReadonlyArray<Encoding | 'identity'>) {
    this.#order = order.includes('identity') ? order : [...order, 'identity']
  }

  choose (field: string | undefined): Choice {
    // Any coding is acceptable to a request without the field, and none at all is the safest.
    if (field === undefined) return PLAIN
    const known = this.#known.get(field)
    if (known !== undefined) return known
    const choice = negotiate(field, this.#order)
    if (field.length <= REMEMBERED_LENGTH) {
      if (this.#known.size >= REMEMBERED_FIELDS) this.#known.clear()
      this.#known.set(field, choice)
    }
    return choice
  }
}

/**
 * The highest weight wins, the server's order breaks ties. `*` stands for every coding that is not named, identity
 * included; identity that neither is named nor falls under a `*` is acceptable, but below whatever is named.
 */
function negotiate (field: string, order: ReadonlyArray<Encoding | 'identity'>): Choice {
  const weights = readWeights(field)
  const star = weights.get('*')
  let best: Encoding | 'identity' = 'identity'
  let bestWeight = 0
  for (const encoding of order) {
    const weight = weights.get(encoding) ?? star ?? 0
    if (weight > bestWeight) {
      best = encoding
      bestWeight = weight
    }
  }
  return {
    encoding: best,
    identity: (weights.get('identity') ?? star ?? 1) > 0,
    listed: bestWeight > 0 || weights.size === 0
  }
}

/** By lower-case name. The first mention of a coding counts; a member that cannot be read is as if it were absent. */
function readWeights (field: string): Map<string, number> {
  const weights = new Map<string, number>()
  for (const member of field.toLowerCase().split(',')) {
    const [name, ...parameters] = member.split(';')
    const token = name!.trim()
    const coding = token === 'x-gzip' ? 'gzip' : token
    const weight = readWeight(parameters)
    if (coding !== '' && weight !== undefined && !weights.has(coding)) weights.set(coding, weight)
  }
  return weights
}

/** qvalue of RFC 9110 section 12.4.2: 0 to 1 with three decimals at most; 1 where there is none. */
const QVALUE = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

function readWeight (parameters: string[]): number | undefined {
  if (parameters.length === 0) return 1
  const match = parameters.length === 1 ? QVALUE.exec(parameters[0]!.trim()) : null
  return match === null ? undefined : Number(match[1])
}
