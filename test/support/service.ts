// Programs of Debian's that a test needs: a machine without one skips the test and says how to get it, unless
// SURGE_REQUIRE_SERVICES=1, which .ci/run sets, makes that a failure.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** False when the program is there, else why the test is skipped: for the `skip` of a test. */
export function without (program: string, debianPackage: string): string | false {
  const found = (process.env.PATH ?? '').split(delimiter).some(dir => existsSync(join(dir, program)))
  if (found) return false
  const missing = `needs ${program}: apt-get install ${debianPackage}`
  if (process.env.SURGE_REQUIRE_SERVICES === '1') throw new Error(missing)
  return missing
}
