// The network in a thread of piscina.
import { workerData } from 'node:worker_threads'
import { Network, type NetworkPlan, type Prediction } from '../models/network.ts'

const network = await Network.load(workerData as NetworkPlan)

export default async function predict({
  body,
}: {
  readonly body: Uint8Array
}): Promise<Prediction> {
  const [prediction] = await network.predict([body])
  return prediction!
}
