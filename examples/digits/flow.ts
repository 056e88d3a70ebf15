import { Flow, type FlowOptions, FlowStep } from 'aqueduct-ts'
import { Answer } from './answer.ts'
import { Classify } from './classify.ts'
import { Decode } from './decode.ts'
import type { DigitTask } from './task.ts'

/** From the bytes of a picture to the digit in it: three steps, each in worker processes of its own. */
export function makeDigitFlow(options: FlowOptions = {}): Flow<DigitTask> {
  return new Flow<DigitTask>(
    [
      // Most of the work. sharp decodes in threads of its own, so a worker has two pictures in its hands at once.
      new FlowStep(Decode, { nprocs: 2, concurrency: 2 }),
      // A batch costs the model little more than a single picture: it takes all that wait.
      new FlowStep(Classify, {
        batchSize: 32,
        handleCondition: 'isReadable',
        env: { ORT_DISABLE_TELEMETRY: '1' }, // the runtime would write files and report home
      }),
      new FlowStep(Answer, { batchSize: 32, handleCondition: 'isReadable' }),
    ],
    options,
  )
}
