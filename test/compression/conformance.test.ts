// Every combination of method, status, Accept-Encoding, precondition and kind of body against RFC 9110, by an oracle
// that shares no code with the plugin.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import zlib from 'node:zlib'
import Fastify, { type FastifyInstance, type FastifyReply, type LightMyRequestResponse } from 'fastify'
import compression, { type TagMode } from '../../plugins/compression/index.ts'

const LARGE = JSON.stringify({ text: 'all work and no play '.repeat(300) })
const MODIFIED = 'Sun, 06 Nov 1994 08:49:37 GMT'
const EARLIER = 'Sunday, 06-Nov-94 08:49:36 GMT'
const LATER = 'Sun Nov  6 08:49:38 1994'

interface Kind {
  body: string | Buffer
  /** Can be sent in another coding. */
  negotiable?: true
  small?: true
  stream?: true
  /** Comes as a web stream, or as a fetch Response. */
  web?: 'stream' | 'response'
  /** Nothing is sent at all. */
  none?: true
  /** Fields that the app sets. */
  headers?: Record<string, string>
}

const kinds: Record<string, Kind> = {
  none: { body: '', none: true },
  empty: { body: '', negotiable: true, small: true },
  small: { body: '{"a":1}', negotiable: true, small: true },
  'small, modified': { body: '{"a":1}', negotiable: true, small: true, headers: { 'last-modified': MODIFIED } },
  large: { body: LARGE, negotiable: true },
  async: { body: LARGE.repeat(3), negotiable: true },
  buffer: { body: Buffer.from(LARGE), negotiable: true },
  stream: { body: LARGE, negotiable: true, stream: true },
  'web stream': { body: LARGE, negotiable: true, stream: true, web: 'stream' },
  response: { body: LARGE, negotiable: true, stream: true, web: 'response', headers: { etag: '"app"' } },
  'stream, modified': { body: LARGE, negotiable: true, stream: true, headers: { 'last-modified': MODIFIED } },
  'stream with a tag': { body: LARGE, negotiable: true, stream: true, headers: { etag: '"app"' } },
  'its own tag': { body: LARGE, negotiable: true, headers: { etag: '"app"', 'last-modified': MODIFIED } },
  'its own weak tag': { body: LARGE, negotiable: true, headers: { etag: 'W/"app"' } },
  'looks compressed': { body: Buffer.from(`x ${LARGE}`), negotiable: true, headers: { 'content-type': 'text/plain' } },
  'varies by origin': { body: LARGE, negotiable: true, headers: { vary: 'Origin' } },
  image: { body: Buffer.alloc(4000, 7), headers: { 'content-type': 'image/png' } },
  'no-transform': { body: LARGE, headers: { 'cache-control': 'public, No-Transform' } },
  range: { body: LARGE, headers: { 'content-range': `bytes 0-${LARGE.length - 1}/9999`, 'last-modified': MODIFIED } },
  digest: { body: LARGE, headers: { 'content-digest': 'sha-256=:abc=:' } },
  encoded: { body: zlib.gzipSync(LARGE), headers: { 'content-encoding': 'gzip' } },
  events: { body: `data: ${LARGE}\n\n`, stream: true, headers: { 'content-type': 'text/event-stream' } }
}

/** Accept-Encoding and what it gets, of br and gzip. */
const fields: Array<{ field: string | undefined, coding: string, plain: boolean }> = [
  { field: undefined, coding: 'identity', plain: true },
  { field: '', coding: 'identity', plain: true },
  { field: 'gzip', coding: 'gzip', plain: true },
  { field: 'gzip, deflate, br;q=0.9', coding: 'gzip', plain: true },
  { field: 'br, gzip', coding: 'br', plain: true },
  { field: 'gzip;q=0, *', coding: 'br', plain: true },
  { field: 'identity;q=0, gzip', coding: 'gzip', plain: false }
]

interface Condition { headers: Record<string, string>, notModified: boolean, failed?: boolean }

/**
 * The precondition, and what it says of the reply that the same request gets without it: by its tag, by whether the app
 * told when it was modified, and by the strong tags that the resource has in any coding.
 */
const conditions: Record<string, (tag: string | undefined, dated: boolean, strong: string[]) => Condition> = {
  none: () => ({ headers: {}, notModified: false }),
  same: tag => ({ headers: { 'if-none-match': tag ?? '"none"' }, notModified: tag !== undefined }),
  list: tag => ({ headers: { 'if-none-match': `"x", ${tag ?? '"none"'}, W/"y"` }, notModified: tag !== undefined }),
  weak: tag => ({ headers: { 'if-none-match': tag === undefined ? 'W/"none"' : `W/${tag.replace('W/', '')}` }, notModified: tag !== undefined }),
  any: () => ({ headers: { 'if-none-match': '*' }, notModified: true }),
  other: () => ({ headers: { 'if-none-match': '"x", "y"', 'if-modified-since': LATER }, notModified: false }),
  'since then': (_tag, dated) => ({ headers: { 'if-modified-since': MODIFIED }, notModified: dated }),
  'since later': (_tag, dated) => ({ headers: { 'if-modified-since': LATER }, notModified: dated }),
  'since earlier': () => ({ headers: { 'if-modified-since': EARLIER }, notModified: false }),
  'since no date': () => ({ headers: { 'if-modified-since': 'yesterday' }, notModified: false }),
  mismatch: tag => ({ headers: { 'if-match': '"x"' }, notModified: false, failed: tag !== undefined }),
  match: (tag, _dated, strong) => ({ headers: { 'if-match': `"x", ${strong[0] ?? '"none"'}` }, notModified: false, failed: tag !== undefined && strong.length === 0 }),
  'match weakly': tag => ({ headers: { 'if-match': `W/${tag?.replace('W/', '') ?? '"none"'}` }, notModified: false, failed: tag !== undefined }),
  'match any': () => ({ headers: { 'if-match': '*', 'if-unmodified-since': EARLIER }, notModified: false }),
  'unmodified since then': () => ({ headers: { 'if-unmodified-since': MODIFIED }, notModified: false }),
  'unmodified since earlier': (_tag, dated) => ({ headers: { 'if-unmodified-since': EARLIER }, notModified: false, failed: dated }),
  'unmodified, but the same': tag => ({ headers: { 'if-unmodified-since': LATER, 'if-none-match': tag ?? '"none"' }, notModified: tag !== undefined }),
  'failed, and the same': tag => ({ headers: { 'if-match': '"x"', 'if-none-match': '*' }, notModified: tag === undefined, failed: tag !== undefined })
}

const modes: TagMode[] = ['weak-when-encoded', 'per-encoding', 'weak', false]

function payloadOf ({ body, none, stream, web }: Kind, status: number): unknown {
  if (none) return undefined
  if (web === 'response') return new Response(body, { status, headers: { 'content-type': 'application/json; charset=utf-8' } })
  if (web === 'stream') return new Blob([body]).stream()
  return stream ? Readable.from([body.slice(0, 1), body.slice(1)]) : body
}

async function serve (etag: TagMode): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(compression, { etag, encodings: ['br', 'gzip'] })
  for (const [name, kind] of Object.entries(kinds)) {
    const answer = (status: number) => (_request: unknown, reply: FastifyReply) => {
      reply.code(status).type('application/json; charset=utf-8').headers(kind.headers ?? {})
      reply.send(payloadOf(kind, status))
    }
    for (const status of [200, 201, 404, 500]) {
      app.get(`/${status}/${name}`, answer(status))
      app.post(`/${status}/${name}`, answer(status))
    }
  }
  return app
}

function decode (reply: LightMyRequestResponse): Buffer {
  switch (reply.headers['content-encoding']) {
    case 'gzip': return zlib.gunzipSync(reply.rawPayload)
    case 'br': return zlib.brotliDecompressSync(reply.rawPayload)
    default: return reply.rawPayload
  }
}

for (const mode of modes) {
  test(`etag ${mode}`, async () => {
    const app = await serve(mode)
    /** Strong tag → the bytes that it names, by path. */
    const named = new Map<string, string>()
    let notModified = 0
    for (const status of [200, 201, 404, 500]) {
      for (const [name, kind] of Object.entries(kinds)) {
        // Of failures and other successes a few codings: which one is chosen does not depend on them.
        for (const { field, coding, plain } of status === 200 ? fields : fields.filter(({ field }) => field === undefined || field === 'gzip')) {
          const accept: Record<string, string> = field === undefined ? {} : { 'accept-encoding': field }
          const url = encodeURI(`/${status}/${name}`)
          const got = await app.inject({ method: 'GET', url, headers: accept })
          const tag = got.headers.etag as string | undefined
          const strong = [tag, (await app.inject({ method: 'GET', url })).headers.etag as string | undefined].filter(each => each !== undefined && !each.startsWith('W/')) as string[]
          const dated = kind.headers?.['last-modified'] !== undefined
          for (const method of ['GET', 'HEAD', 'POST'] as const) {
            for (const [condition, make] of Object.entries(conditions)) {
              const { headers, notModified: same, failed = false } = make(tag, dated, strong)
              const reply = await app.inject({ method, url, headers: { ...accept, ...headers } })
              check(reply, { method, status, kind, coding, plain, same, failed, tag, got, url }, `${method} ${url} [${field}] ${condition} → ${reply.statusCode} ${JSON.stringify(reply.headers)}`)
            }
          }
        }
      }
    }
    assert.equal(notModified > 0, mode !== false)

    interface Expected { method: string, status: number, kind: Kind, coding: string, plain: boolean, same: boolean, failed: boolean, tag: string | undefined, got: LightMyRequestResponse, url: string }

    function check (reply: LightMyRequestResponse, expected: Expected, label: string): void {
      const { method, status, kind, same, failed, tag, got, url } = expected
      const { headers } = reply
      const succeeds = method !== 'POST' && status < 300 && mode !== false
      const encoded = kind.negotiable && expected.coding !== 'identity' && !(kind.small && (expected.plain || status >= 500))

      if (succeeds && failed) {
        assert.equal(reply.statusCode, 412, label)
        assert.equal(headers['content-encoding'], expected.plain ? undefined : expected.coding, label)
        if (method === 'GET') assert.equal(JSON.parse(decode(reply).toString()).statusCode, 412, label)
        return
      }
      if (kind.negotiable && !(kind.small && status >= 500)) {
        assert.match(String(headers.vary), kind.headers?.vary === undefined ? /^accept-encoding$/ : /^Origin, accept-encoding$/, label)
      } else {
        assert.equal(headers.vary, undefined, label)
      }
      if (succeeds && same) {
        notModified++
        assert.equal(reply.statusCode, 304, label)
        assert.equal(headers.etag, tag, label)
        for (const field of ['content-length', 'content-type', 'content-encoding', 'transfer-encoding']) assert.equal(headers[field], undefined, `${field} of ${label}`)
        assert.equal(reply.rawPayload.length, 0, label)
        return
      }
      assert.equal(reply.statusCode, status, label)
      assert.equal(headers['content-encoding'], encoded ? expected.coding : kind.headers?.['content-encoding'], label)

      const own = kind.headers?.etag
      if (status >= 500) assert.equal(headers.etag, undefined, label)
      else if (own === undefined && (!succeeds || kind.stream || kind.none)) assert.equal(headers.etag, undefined, label)
      else assert.ok(headers.etag, label)
      if (headers.etag !== undefined) {
        const strong = own === undefined ? mode !== 'weak' && !(mode !== 'per-encoding' && encoded) : !own.startsWith('W/') && !(mode !== 'per-encoding' && encoded)
        assert.equal(!String(headers.etag).startsWith('W/'), strong, label)
      }

      if (method === 'HEAD') {
        for (const field of ['etag', 'vary', 'content-encoding', 'content-type', 'content-length', 'last-modified']) {
          assert.equal(headers[field], got.headers[field], `${field} of ${label}`)
        }
        assert.equal(reply.rawPayload.length, 0, label)
        return
      }
      if (headers['content-length'] !== undefined) assert.equal(Number(headers['content-length']), reply.rawPayload.length, label)
      else assert.ok(kind.stream, label)
      const body = kind.headers?.['content-encoding'] === undefined ? decode(reply) : reply.rawPayload
      assert.ok(body.equals(Buffer.from(kind.body)), label)
      if (method === 'GET' && headers.etag !== undefined && !String(headers.etag).startsWith('W/')) {
        const bytes = reply.rawPayload.toString('latin1')
        const key = `${url} ${headers.etag}`
        assert.equal(named.get(key) ?? bytes, bytes, `one strong tag, two byte sequences: ${label}`)
        named.set(key, bytes)
      }
    }
  })
}
