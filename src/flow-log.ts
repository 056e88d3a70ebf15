import { inspect } from 'node:util'
import { WorkerDiedError } from './errors.ts'
import type { FlowLogger } from './flow-options.ts'
import type { Death } from './runtime/seat.ts'
import type { Journal } from './watch/journal.ts'
import type { LogLevel, LogRecord, WorkerOrigin } from './transport/protocol.ts'
import { decodeReport } from './transport/reports.ts'

/** What a flow, or a client of one, tells its logger: its own records, and those of its workers. A logger that throws stops nothing. */
export class FlowLog {
  readonly #logger: FlowLogger
  readonly #journal: Journal | undefined
  #hasThrown = false

  /** @param journal - remembers the flow's own records, and what the workers have trouble with. */
  constructor(logger: FlowLogger, journal?: Journal) {
    this.#logger = logger
    this.#journal = journal
  }

  /** A worker has logged. */
  worker(origin: WorkerOrigin, { level, message, data }: LogRecord): void {
    const told = { ...decodeReport(data), ...origin }
    if (level === 'error' || level === 'warn') this.#journal?.problem(told, message)
    this.#write(level, told, message)
  }

  /** A worker has died. */
  death(death: Death, { isReplaced }: { readonly isReplaced: boolean }): WorkerDiedError {
    const { step, handler, worker, pid, code, signal, handleTimeout, error } = death
    const err = new WorkerDiedError(step, pid, code, signal, { cause: error })
    const isHang = handleTimeout !== Infinity
    const what = isHang
      ? `worker ${pid} of step ${step} was ended: its handler was busy for longer than ${handleTimeout} ms`
      : `worker ${pid} of step ${step} ended with ${signal ?? `exit code ${code}`}`
    if (error !== undefined) this.#journal?.problem({ err, step, worker, pid }, what)
    this.#tell(
      isReplaced ? 'warn' : 'error',
      { err, step, handler, worker, pid, code, signal },
      `${what}; ${isReplaced ? 'it is being replaced' : 'the flow has failed'}`,
    )
    return err
  }

  /** The replacement of a worker is ready. */
  takeOver(origin: WorkerOrigin): void {
    this.#tell('info', origin, `worker ${origin.pid} of step ${origin.step} has taken over`)
  }

  /** A worker has too much memory of its own and is replaced, or could not be. */
  recycling(origin: WorkerOrigin, bytes: number, err: Error | undefined): void {
    const what = `worker ${origin.pid} of step ${origin.step} has ${Math.round(bytes / 2 ** 20)} MiB of its own, more than the step's maxMemory`
    if (err === undefined) this.#tell('info', { ...origin, bytes }, `${what}: it is being replaced`)
    else this.#tell('warn', { err, ...origin, bytes }, `${what}, and could not be replaced`)
  }

  /** The flow has failed, with the death that was one too many; its workers go on being started. */
  failure(error: Error, { step, handler, worker, pid, code, signal }: Death): void {
    const data = { err: error, step, handler, worker, pid, code, signal }
    this.#tell('error', data, `${error.message}; the flow has failed until one is`)
  }

  /** A flow that had failed runs again. */
  recovery(step: string): void {
    this.#tell('info', { step }, `step ${step} has a worker again: the flow runs`)
  }

  attached(client: number, pid: number): void {
    this.#tell('info', { client, pid }, `process ${pid} has attached as client ${client}`)
  }

  detached(client: number, pid: number): void {
    this.#tell('info', { client, pid }, `process ${pid} is client ${client} no more`)
  }

  /** A client's flow has ended. */
  flowLost(address: string, why: string): void {
    this.#tell('warn', { address }, `the flow at '${address}' is gone: ${why}`)
  }

  flowFound(address: string): void {
    this.#tell('info', { address }, `attached to the flow at '${address}' again`)
  }

  /** A client cannot attach to the flow that there is now at its address. */
  flowRefused(address: string, err: Error): void {
    this.#tell('error', { err, address }, err.message)
  }

  #tell(level: LogLevel, data: object, message: string): void {
    this.#journal?.event(level, message)
    this.#write(level, data, message)
  }

  #write(level: LogLevel, data: object, message: string): void {
    try {
      this.#logger[level](data, message)
    } catch (error) {
      if (this.#hasThrown) return
      this.#hasThrown = true
      process.stderr.write(`[aqueduct] the flow's logger has thrown: ${inspect(error)}\n`)
    }
  }
}
