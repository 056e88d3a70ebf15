import { closeSync, constants, openSync } from 'node:fs'

/**
 * File descriptors of another process of the same user, opened again through /proc: memory files and pipes that have no
 * name of their own. Each is a new description, closed on exec, and outlives the one that it was opened from.
 */
export class Descriptors {
  readonly #opened: number[] = []
  readonly #process: number | 'self'

  /** @param process - pid of the process that has them. */
  constructor(process: number | 'self') {
    this.#process = process
  }

  /** Opens a memory file. */
  memory(fd: number): number {
    return this.#open(fd, constants.O_RDWR)
  }

  readEnd(fd: number): number {
    return this.#open(fd, constants.O_RDONLY | constants.O_NONBLOCK)
  }

  writeEnd(fd: number): number {
    return this.#open(fd, constants.O_WRONLY | constants.O_NONBLOCK)
  }

  /** Says that somebody else closes `fd`. */
  handOver(fd: number): number {
    const index = this.#opened.indexOf(fd)
    if (index >= 0) this.#opened.splice(index, 1)
    return fd
  }

  closeAll(): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd)
  }

  #open(fd: number, flags: number): number {
    const opened = openSync(`/proc/${this.#process}/fd/${fd}`, flags)
    this.#opened.push(opened)
    return opened
  }
}
