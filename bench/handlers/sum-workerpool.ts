// The sum task as a worker of workerpool.
import { loadPeer } from '../harness/peers.ts'
import sum from './sum-function.ts'

;(loadPeer('workerpool') as { worker: (methods: object) => void }).worker({ sum })
