import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { inspect } from 'node:util'

const ANSWERS = 3

/** What a program of `bench/programs` is told, as its first argument. */
export function plan(): unknown {
  return JSON.parse(process.argv[2]!)
}

/** Says what the program is, then obeys one order at a time until there are no more; the other side of `Program`. */
export async function serve(
  ready: object,
  obey: (order: never) => Promise<object>,
  close: () => Promise<unknown>,
): Promise<void> {
  say(ready)
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say(await obey(JSON.parse(line) as never))
    } catch (error) {
      say({ error: inspect(error) })
    }
  }
  await close()
}

function say(answer: object): void {
  writeSync(ANSWERS, `${JSON.stringify(answer)}\n`)
}
