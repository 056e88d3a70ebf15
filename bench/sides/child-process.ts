import { type SerializationType, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Side, SidePlan } from './side.ts'

interface Answer {
  readonly id: number
  readonly sum: number
}

/** What a program writes that has no library: processes, messages with a number, and a map of who waits for which. */
export async function open({ workers, options }: SidePlan): Promise<Side> {
  const { serialization } = options as { readonly serialization: SerializationType }
  const waiting = new Map<number, (answer: Answer) => void>()
  const children = Array.from({ length: workers }, () => {
    const child = fork(new URL('../handlers/sum-child.ts', import.meta.url), { serialization })
    child.on('message', (answer: Answer) => {
      waiting.get(answer.id)!(answer)
      waiting.delete(answer.id)
    })
    return child
  })
  await Promise.all(children.map((child) => once(child, 'spawn')))
  let next = 0
  return {
    workers: children.map(({ pid }) => pid!),
    call: (number) =>
      new Promise<Answer>((resolve) => {
        const id = next++
        waiting.set(id, resolve)
        children[id % workers]!.send({ id, number })
      }),
    async close() {
      await Promise.all(
        children.map((child) => {
          child.disconnect()
          return once(child, 'exit')
        }),
      )
    },
  }
}
