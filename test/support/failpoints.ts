import { mkdtemp, readdir, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const hook = new URL('../fixtures/failpoint.ts', import.meta.url)

/** Seconds that a test gives to deaths, however many there could be: FAILPOINT_SECONDS=600 tries them all. */
export const failpointSeconds = Number(process.env['FAILPOINT_SECONDS'] ?? 8)

const compileCache = join(tmpdir(), 'aqueduct-compile-cache')

/** Deaths that a test waits for, however slow the machine is. */
export const leastDeaths = 20

/** Failpoints that processes take one after another, each process one. */
export class Failpoints implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async create(): Promise<Failpoints> {
    return new Failpoints(await mkdtemp(join(tmpdir(), 'aqueduct-failpoints-')))
  }

  /** Flags and environment of a process that takes one. */
  get execArgv(): string[] {
    return ['--import', fileURLToPath(hook)]
  }

  get env(): Record<string, string> {
    // Processes that come and go by the hundred need not translate the library each time.
    return { FAILPOINTS: this.folder, NODE_COMPILE_CACHE: compileCache }
  }

  /** Lays out a failpoint before each of so many operations, in an order in which the first few cover them evenly. */
  async plan(operations: number): Promise<void> {
    const stride = strideFor(operations)
    await Promise.all(
      Array.from({ length: operations }, (_, order) => {
        const operation = 1 + ((order * stride) % operations)
        return writeFile(join(this.folder, `${String(order).padStart(5, '0')}-${operation}`), '')
      }),
    )
  }

  /** How many nobody has taken yet. */
  async left(): Promise<number> {
    return (await readdir(this.folder)).length
  }

  /** Takes the rest away. Returns how many that were. */
  async end(): Promise<number> {
    const names = await readdir(this.folder)
    const removals = await Promise.allSettled(names.map((name) => unlink(join(this.folder, name))))
    return removals.filter(({ status }) => status === 'fulfilled').length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** About the golden section of the count, and coprime to it. */
function strideFor(count: number): number {
  const divides = (a: number, b: number): number => (b === 0 ? a : divides(b, a % b))
  let stride = Math.max(1, Math.round(count * 0.618))
  while (divides(count, stride) !== 1) stride++
  return stride
}
