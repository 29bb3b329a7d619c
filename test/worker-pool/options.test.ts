import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { readWorkerPool } from '../../plugins/worker-pool/options.ts'

const filename = import.meta.filename

function read (options: object) {
  return readWorkerPool({ filename, ...options })
}

test('one core is left to the event loop, and the queue is bounded by the threads', () => {
  const { maxThreads, minThreads, maxQueue } = read({})
  assert.equal(maxThreads, Math.max(1, availableParallelism() - 1))
  assert.equal(minThreads, 1)
  assert.equal(maxQueue, 16 * maxThreads)
  assert.equal(read({ maxThreads: 3 }).maxQueue, 48)
  assert.equal(read({ maxThreads: 3, maxQueue: 0 }).maxQueue, 0)
})

test('filename is a path, a file URL or its text', () => {
  const url = pathToFileURL(filename)
  for (const given of [filename, url, url.href]) assert.equal(read({ filename: given }).filename, filename)
})

for (const [options, message] of [
  [{ filename: undefined }, /Expected `workerPool.filename` to be the absolute path or file URL of a module, got undefined/],
  [{ filename: './tasks.js' }, /Expected `workerPool.filename` .* got '.\/tasks.js'/],
  [{ filename: new URL('https://example.org/tasks.js') }, /Expected `workerPool.filename` .* got "https:/],
  [{ maxThread: 2 }, /Unknown option `workerPool.maxThread`. Did you mean `maxThreads`\?/],
  [{ maxThreads: 0 }, /Expected `workerPool.maxThreads` to be an integer ≥ 1, got 0/],
  [{ maxThreads: 2, minThreads: 3 }, /Expected `workerPool.minThreads` to be at most `maxThreads`, 2, got 3/],
  [{ maxQueue: Infinity }, /Expected `workerPool.maxQueue` to be an integer ≥ 0, got Infinity/],
  [{ maxWait: 0 }, /Expected `workerPool.maxWait` to be milliseconds/],
  [{ resourceLimits: { maxOldGenerationSize: 8 } }, /Unknown option `workerPool.resourceLimits.maxOldGenerationSize`. Did you mean `maxOldGenerationSizeMb`\?/],
  [{ execArgv: '--no-warnings' }, /Expected `workerPool.execArgv` to be a list of strings/],
  [{ env: 1 }, /Expected `workerPool.env`/]
] as const) {
  test(`${JSON.stringify(options)} fails`, () => {
    assert.throws(() => read(options), { code: 'FST_SURGE_BAD_OPTION', message })
  })
}
