/** What a model costs that gains from batches, in milliseconds: each call, and each item of it. */
export const CALL_MS = 4
export const ITEM_MS = 0.5
export const BATCH_SIZE = 16

/** Items per second of a model that always gets full batches. */
export const CAPACITY: number = (BATCH_SIZE / (CALL_MS + BATCH_SIZE * ITEM_MS)) * 1000

/** Keeps the processor busy for as long as the model would. */
export function runModel(numbers: readonly number[]): number[] {
  const until = performance.now() + CALL_MS + numbers.length * ITEM_MS
  while (performance.now() < until);
  return numbers.map((number) => number + 1)
}

/** Median milliseconds of tasks that arrive so fast at this model, were there nothing but it: greedy batches, no overhead. */
export function idealMedianMs(perSecond: number, tasks = 2000): number {
  const arrivals = Array.from({ length: tasks }, (_, index) => (index * 1000) / perSecond)
  const latencies: number[] = []
  let free = 0
  for (let next = 0; next < tasks;) {
    const start = Math.max(free, arrivals[next]!)
    let size = 1
    while (size < BATCH_SIZE && next + size < tasks && arrivals[next + size]! <= start) size++
    free = start + CALL_MS + size * ITEM_MS
    for (let index = next; index < next + size; index++) latencies.push(free - arrivals[index]!)
    next += size
  }
  return latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length / 2)]!
}
