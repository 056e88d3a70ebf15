// A step for frames in a thread or a process: reads a byte of each page and passes the frame on to the next one.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { type Hop, sumOfPages } from '../harness/frames.ts'

interface Chain {
  /** Where frames come from, and where they go on to. */
  readonly from: MessagePort
  readonly to: MessagePort
  readonly transfer: boolean
}

if (parentPort === null) {
  process.on('message', ({ frame }: Hop) => {
    process.send!({ frame, seen: sumOfPages(frame) } satisfies Hop)
  })
} else {
  const { from, to, transfer } = workerData as Chain
  from.on('message', ({ frame }: Hop) => {
    const hop: Hop = { frame, seen: sumOfPages(frame) }
    to.postMessage(hop, transfer ? [frame.buffer] : [])
  })
}
