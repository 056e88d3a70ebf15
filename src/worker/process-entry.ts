import type { ParentMessage } from '../transport/protocol.ts'
import { runWorker } from './worker.ts'

// A Ctrl-C or a service manager's SIGTERM reaches the whole group; the parent drains its workers and then ends them.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)
process.on('disconnect', () => process.exit(0))

runWorker({
  send: (message, onSent) =>
    // Without a callback a channel that has just closed is an uncaught error; the end of this worker follows.
    process.send?.(message, undefined, undefined, () => onSent?.()) ?? false,
  onMessage: (listener) => process.on('message', (message) => listener(message as ParentMessage)),
  exit: (code) => process.exit(code),
})
