import { BaseTask, BaseTaskHandler } from 'aqueduct-ts'
import { Network, type NetworkPlan } from '../models/network.ts'

export class PredictTask extends BaseTask {
  readonly body: Uint8Array
  index = -1
  score = 0
  constructor(body: Uint8Array) {
    super()
    this.body = body
  }
}

/** Asks the network, once for the whole batch. */
export class PredictHandler extends BaseTaskHandler<PredictTask> {
  static readonly url = import.meta.url
  static readonly task = PredictTask
  readonly #plan: NetworkPlan
  #network!: Network

  constructor(plan: NetworkPlan) {
    super()
    this.#plan = plan
  }

  override async onStart(): Promise<void> {
    this.#network = await Network.load(this.#plan)
  }

  async handle(tasks: readonly PredictTask[]): Promise<void> {
    const predictions = await this.#network.predict(tasks.map(({ body }) => body))
    tasks.forEach((task, position) => Object.assign(task, predictions[position]))
  }
}
