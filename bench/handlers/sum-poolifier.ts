// The sum task as a worker of poolifier.
import { loadPeer } from '../harness/peers.ts'
import sum from './sum-function.ts'

type Sum = typeof sum

const { ThreadWorker } = loadPeer('poolifier') as { ThreadWorker: new (handle: Sum) => object }

export default new ThreadWorker(sum)
