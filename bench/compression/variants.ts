// What is compared: one body, sent in five ways.

export type Variant = 'bare' | 'ready' | 'hand-wired' | 'surge' | 'version'

export const names: Record<Variant, string> = {
  bare: 'bare Fastify, plain bytes',
  ready: 'bare Fastify, the encoded bytes and their fields ready-made',
  'hand-wired': '@fastify/etag and @fastify/compress',
  surge: 'fastify-surge/compression',
  version: 'fastify-surge/compression, by `version`'
}

export const SIZES = [2, 20, 200] as const

/** A JSON list of records, as long as wanted; `salt` makes it one that nobody has seen. */
export function bodyOf (kilobytes: number, salt = ''): string {
  let body = `{"salt":"${salt}","records":[`
  for (let id = 1; body.length < kilobytes * 1000 - 20; id++) {
    const mixed = Math.imul(id, 0x9E3779B1) >>> 0
    body += `${id === 1 ? '' : ','}{"id":${id},"name":"record ${mixed.toString(36)}","price":${mixed % 90_000},"stock":${mixed % 251},"tags":["${(mixed >>> 7).toString(36)}","oak","steel"],"ships":"within ${mixed % 9 + 2} working days"}`
  }
  return `${body}]}`
}
