// What a command has to say: the text, the files beside it, and its exit code.
import { access, open, rm, writeFile } from 'node:fs/promises'
import { Failure } from './failure.ts'

export interface Report {
  text: string
  files: Array<[path: string, content: string]>
  code: number
}

/** Before the first run, since a result that cannot be written was measured for nothing. @throws Failure */
export async function assertWritable (...paths: Array<string | undefined>): Promise<void> {
  for (const path of paths) {
    if (path === undefined) continue
    const isThere = await access(path).then(() => true, () => false)
    await open(path, 'a').then(file => file.close(), refused)
    if (!isThere) await rm(path)
  }
}

export async function write ({ files }: Report): Promise<void> {
  for (const [path, content] of files) await writeFile(path, content).catch(refused)
}

function refused (err: Error): never {
  throw new Failure(`A file cannot be written: ${err.message}`)
}
