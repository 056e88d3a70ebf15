/** Rounds between two looks at the clock of the processor: a look is a system call, which would be most of it. */
const ROUNDS = 4_000

let sink = 0

/** Uses so many milliseconds of this thread's processor time, however long others keep it from that. */
export function burn(ms: number): void {
  const begin = process.threadCpuUsage()
  for (;;) {
    for (let round = 0; round < ROUNDS; round++) sink = (Math.imul(sink, 31) + round) | 0
    const { user, system } = process.threadCpuUsage(begin)
    if (user + system >= ms * 1000) return
  }
}
