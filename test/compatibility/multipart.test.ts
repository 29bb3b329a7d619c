import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import multipart from '@fastify/multipart'
import type { FastifyInstance } from 'fastify'
import { RawClient, deferred, eventually } from '../support/raw-http.ts'
import { atRest, closesByItself, complaints, serveBeside } from './beside.ts'

const BOUNDARY = 'surge-boundary'

function form (bytes: number): Buffer {
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\na file\r\n` +
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n`),
    Buffer.alloc(bytes, 1),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  ])
}

function head (path: string, length: number): string {
  return `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Length: ${length}\r\n\r\n`
}

/** Streams the parts; `seen` counts what came in and says how it ended. */
function uploads (seen: { size: number, failed?: string } = { size: 0 }) {
  return async (app: FastifyInstance) => {
    await app.register(multipart, { limits: { fileSize: 3_000_000 } })
    app.post('/upload', async request => {
      let title
      try {
        for await (const part of request.parts()) {
          if (part.type === 'file') for await (const chunk of part.file) seen.size += chunk.length
          else title = part.value
        }
      } catch (error) {
        seen.failed = (error as { code: string }).code
        throw error
      }
      return { title, size: seen.size }
    })
  }
}

test('an upload streams through, and its slot is taken until it is over', async t => {
  const seen = { size: 0 }
  const { app, port, lines } = await serveBeside(t, { behind: uploads(seen) })
  const body = form(2_000_000)
  const client = (await RawClient.connect(port)).send(head('/upload', body.length)).send(body.subarray(0, 1_000_000))
  await eventually(() => seen.size > 0, 'a part of the file')
  assert.equal(app.concurrency.stats().inflight, 1)
  const reply = await client.send(body.subarray(1_000_000)).reply()
  assert.deepEqual([reply.status, reply.body, reply.headers.connection], [200, '{"title":"a file","size":2000000}', 'keep-alive'])
  await atRest(app)
  assert.deepEqual(complaints(lines), [])
  await closesByItself(app)
})

test('request.saveRequestFiles() and the files that it removes behind the reply', async t => {
  let saved = ''
  const { app, port } = await serveBeside(t, {
    behind: async app => {
      await app.register(multipart)
      app.post('/save', async request => {
        const { files: [file] } = await request.saveRequestFiles()
        saved = file!.filepath
        return { bytes: (await readFile(saved)).length }
      })
    }
  })
  const body = form(100_000)
  assert.equal((await (await RawClient.connect(port)).send(head('/save', body.length)).send(body).reply()).body, '{"bytes":100000}')
  await eventually(() => !existsSync(saved), 'the file removed')
  await atRest(app)
})

test('the deadline stands still while the upload moves', async t => {
  const { port } = await serveBeside(t, { options: { deadline: { timeout: 200 } }, behind: uploads() })
  const body = form(4_000)
  const client = (await RawClient.connect(port)).send(head('/upload', body.length))
  for (let at = 0; at < body.length; at += 700) {
    client.send(body.subarray(at, at + 700))
    await new Promise(resolve => setTimeout(resolve, 80))
  }
  assert.equal((await client.reply()).status, 200)
})

test('an upload that stalls past the deadline ends for its handler too, and frees its slot', async t => {
  const seen: { size: number, failed?: string } = { size: 0 }
  const { app, port } = await serveBeside(t, { options: { deadline: { timeout: 100 } }, behind: uploads(seen) })
  const client = (await RawClient.connect(port)).send(head('/upload', 2_000_000)).send(form(5_000).subarray(0, 4_000))
  const reply = await client.reply()
  assert.deepEqual([reply.status, JSON.parse(reply.body).code, reply.headers.connection], [503, 'FST_SURGE_DEADLINE', 'close'])
  await client.closed
  await atRest(app)
  assert.ok(seen.failed !== undefined)
})

test('an upload whose client leaves frees its slot', async t => {
  const seen: { size: number, failed?: string } = { size: 0 }
  const { app, port } = await serveBeside(t, { behind: uploads(seen) })
  const client = (await RawClient.connect(port)).send(head('/upload', 2_000_000)).send(form(5_000).subarray(0, 4_000))
  await eventually(() => seen.size > 0, 'a part of the file')
  client.reset()
  await atRest(app)
  assert.ok(seen.failed !== undefined)
})

test('a file past its limit is refused by @fastify/multipart, in its words', async t => {
  const { app, port } = await serveBeside(t, { behind: uploads() })
  const body = form(4_000_000)
  const reply = await (await RawClient.connect(port)).send(head('/upload', body.length)).send(body).reply()
  assert.deepEqual([reply.status, JSON.parse(reply.body).code], [413, 'FST_REQ_FILE_TOO_LARGE'])
  await atRest(app)
  await closesByItself(app)
})

test('an upload that is shed is refused before a byte of it is parsed', async t => {
  const gate = deferred()
  const seen = { size: 0 }
  const { app, port } = await serveBeside(t, {
    options: { concurrency: { limit: 1, maxQueue: 0 } },
    behind: async app => {
      await uploads(seen)(app)
      app.get('/', async () => { await gate.promise; return 'held' })
    }
  })
  const holder = (await RawClient.connect(port)).get('/')
  await eventually(() => app.concurrency.stats().inflight === 1, 'held')
  const body = form(50_000)
  const client = (await RawClient.connect(port)).send(head('/upload', body.length)).send(body)
  const shed = await client.reply()
  assert.deepEqual([shed.status, JSON.parse(shed.body).code, shed.headers.connection], [503, 'FST_SURGE_QUEUE_FULL', 'keep-alive'])
  assert.equal(seen.size, 0)
  gate.resolve()
  await holder.reply()
  assert.equal((await client.send(head('/upload', body.length)).send(body).reply()).status, 200, 'the connection was kept and goes on')
  await atRest(app)
})
