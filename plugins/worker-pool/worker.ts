// What runs in a thread: loads the user's module, calls the export that a task names, and packs what it throws. That
// the thread itself loads without the user's module keeps a module that fails from looking like a thread that died.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { nearest, show } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import { pack } from './thrown.ts'

/** What is posted to a thread. */
export interface Task {
  /** File URL of the user's module. */
  module: string
  /** Its export to call. */
  name: string
  payload: unknown
}

type Handler = (payload: unknown) => unknown

const handlers = new Map<string, Handler>()

export async function runTask ({ module, name, payload }: Task): Promise<unknown> {
  try {
    const handler = handlers.get(name) ?? await load(module, name)
    return await handler(payload)
  } catch (error) {
    throw pack(error)
  }
}

/** Loads the module and looks for the export, so that a wrong one fails at boot. */
export async function checkModule ({ module, name }: Task): Promise<void> {
  try {
    await load(module, name)
  } catch (error) {
    throw pack(error)
  }
}

async function load (module: string, name: string): Promise<Handler> {
  let loaded
  try {
    loaded = await importOrRequire(module)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : show(cause)
    throw new BadOption(`Expected \`workerPool.filename\` to be a module that loads, got ${show(module)}: ${reason}`, { cause })
  }
  const handler = exported(loaded, name)
  if (handler === undefined) {
    const known = Object.keys({ ...loaded, ...loaded.default }).filter(key => exported(loaded, key) !== undefined)
    const near = nearest(name, known)
    throw new BadOption(`Expected \`name\` to be an exported function of ${module}, got ${show(name)}. ${near === undefined ? `Exported: ${known.join(', ') || 'none'}.` : `Did you mean ${show(near)}?`}`)
  }
  handlers.set(name, handler)
  return handler
}

/** The module's function of that name, inherited or not; `constructor` and the like are any object's. CommonJS has its exports on `default`, some of them or all only there. */
function exported (loaded: any, name: string): Handler | undefined {
  if (name === 'constructor' || name in Object.prototype || name in Function.prototype) return own(loaded, name) ?? own(loaded.default, name)
  return [loaded, loaded.default].find(exports => typeof exports?.[name] === 'function')?.[name]
}

function own (exports: any, name: string): Handler | undefined {
  return Object.hasOwn(exports ?? {}, name) && typeof exports[name] === 'function' ? exports[name] : undefined
}

/** TypeScript loaders reach the threads of Node 20 through `require` only (tsx#354). */
async function importOrRequire (module: string): Promise<any> {
  try {
    return await import(module)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
    return createRequire(module)(fileURLToPath(module))
  }
}
