/** Microseconds of CPU time that this process has taken, all of its threads included. */
export function cpuTime (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
