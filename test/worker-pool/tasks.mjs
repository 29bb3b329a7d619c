// What the tests run in threads. They meet their tasks over a shared array, so that nothing has to be timed.
import { pbkdf2Sync } from 'node:crypto'
import { RangeCheck } from './range-check.mjs'

export default function double (number) {
  return number * 2
}

export function echo (value) {
  return value
}

/** Says at [0] that it runs, and runs until somebody wakes it at [1]. */
export function hold (shared) {
  Atomics.add(shared, 0, 1)
  Atomics.wait(shared, 1, 0)
  return 'held'
}

/** Never gives its thread back by itself. */
export function spin (shared) {
  Atomics.add(shared, 0, 1)
  for (;;) Math.random()
}

export function fail (value) {
  throw new RangeCheck(value)
}

export function failWith (kind) {
  if (kind === 'string') throw 'just a string' // eslint-disable-line no-throw-literal
  if (kind === 'function') throw () => {} // eslint-disable-line no-throw-literal
  if (kind === 'abort') AbortSignal.abort().throwIfAborted()
  const error = new TypeError('odd', { cause: new RangeCheck(1) })
  error.self = error
  error.callback = () => {}
  throw error
}

export function leave (code) {
  process.exit(code)
}

export function uncaught () {
  return new Promise(() => { queueMicrotask(() => { throw new Error('nobody catches this') }) })
}

export function eatMemory () {
  const all = []
  for (;;) all.push(new Array(1e5).fill(Math.random()))
}

export function sendsFunction () {
  return () => {}
}

export function uncaughtText () {
  // eslint-disable-next-line no-throw-literal
  return new Promise(() => { queueMicrotask(() => { throw 'just a string' }) })
}

/** Native code, which ending the thread can't interrupt. */
export function hash (shared) {
  Atomics.add(shared, 0, 1)
  return pbkdf2Sync('secret', 'salt', 400_000, 64, 'sha512').length
}
