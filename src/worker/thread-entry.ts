import { parentPort } from 'node:worker_threads'
import type { ParentMessage } from '../transport/protocol.ts'
import { runWorker } from './worker.ts'

const port = parentPort
if (port === null) throw new Error('this file is the entry of a worker thread')

runWorker({
  send: (message) => {
    port.postMessage(message)
    return true
  },
  onMessage: (listener) => port.on('message', (message) => listener(message as ParentMessage)),
  exit: (code) => process.exit(code),
})
