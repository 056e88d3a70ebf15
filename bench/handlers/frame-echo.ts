// A thread that reads one element of every page of a frame and sends the frame back, as a clone or by transfer.
import { parentPort } from 'node:worker_threads'
import { type Echo, sumOfPages } from '../harness/frames.ts'

parentPort!.on('message', ({ frame, transfer }: Echo) => {
  const echo: Echo = { frame, transfer, seen: sumOfPages(frame) }
  parentPort!.postMessage(echo, transfer ? [frame.buffer] : [])
})
