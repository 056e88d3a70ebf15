import { readFile } from 'node:fs/promises'
import { BaseTaskHandler } from 'aqueduct-ts'
import sharp from 'sharp'
import { BadImageError, normalise } from './normalise.ts'
import { DigitTask } from './task.ts'

/** Decodes the picture and brings the digit in it into the form that the model knows. */
export class Decode extends BaseTaskHandler<DigitTask> {
  static readonly url = import.meta.url
  static readonly task = DigitTask

  override async onStart(): Promise<void> {
    sharp.concurrency(1) // one thread per picture: the flow has workers enough to fill the cores
    // The first pictures take ten times as long as the later ones: let them be ours.
    const sample = await readFile(new URL('samples/seven-drawn.png', import.meta.url))
    for (let i = 0; i < 3; i++) await normalise(sample)
  }

  override async handle(tasks: readonly DigitTask[]): Promise<void> {
    await Promise.all(tasks.map(decode))
  }
}

async function decode(task: DigitTask): Promise<void> {
  try {
    task.pixels = await normalise(task.image)
  } catch (error) {
    // A bad picture is an answer, not a failure: the task goes on, past the other steps.
    if (!(error instanceof BadImageError)) throw error
    task.problem = error.message
  }
}
