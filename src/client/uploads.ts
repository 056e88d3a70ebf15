import { FlowStoppedError, OutOfMemoryError, TaskTimeoutError, toError } from '../errors.ts'
import { ownedByActor } from '../memory/block-table.ts'
import { PAGE_BYTES } from '../memory/geometry.ts'
import type { Leases } from '../memory/leases.ts'
import { canSeal } from '../memory/sealed-buffer.ts'
import type { Control } from '../transport/control.ts'
import type { BodySource } from './body-reader.ts'
import { Deadlines } from './deadlines.ts'
import type { GarbageRelief } from './garbage.ts'
import type { Results } from './results.ts'
import { Upload, type UploadHost, type UploadOptions } from './upload.ts'

export interface UploadEvents {
  /** Whether a task waits for memory that has done so since before `since`. */
  readonly hasElder: (since: number) => boolean
  /** Somebody who waits for memory may find some, or has become the first to get it. */
  readonly onChance: () => void
  /** A body lies in shared memory; the program may forget it. */
  readonly onArrived: () => void
}

/** A body on its way in, as its task knows it. */
export interface Arrival {
  /** The bytes, exactly as many as came. */
  readonly bytes: Promise<ArrayBuffer>
  readonly cancel: (error: Error) => void
}

/**
 * The bodies on their way into a client's shared memory. Each has a block of this client, which becomes a lease of the
 * program when the body is complete, and is released when it fails.
 *
 * Who finds no memory waits without reading on. First come those who have a block already and need a larger one: what
 * they hold comes back only when they are done. Then, in the order of their arrival, those that have none, and the tasks
 * that wait for admission. So that those who grow can never all wait for each other, a block is only given out if, after
 * that, they could still grow to their limits one after another (the banker's algorithm); what others hold of the memory
 * comes back without them.
 */
export class Uploads implements UploadHost {
  readonly leases: Leases
  readonly maxBytes: number
  readonly maxOrdinaryBytes: number
  readonly #control: Control
  readonly #results: Results
  readonly #relief: GarbageRelief
  readonly #events: UploadEvents
  readonly #limitPages: number
  readonly #deadlines: Deadlines<Upload>
  /** Those that have not settled, and how their promises are settled. */
  readonly #arriving = new Map<Upload, (error: Error | undefined) => void>()
  /** Those that have a block and do not know their size. */
  readonly #growing = new Set<Upload>()
  /** Those that wait for memory, in order: with a block of theirs, and without. */
  readonly #growers = new Set<Upload>()
  readonly #starters = new Set<Upload>()
  readonly #tasks = new WeakSet<object>()
  #reliefTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    control: Control,
    results: Results,
    relief: GarbageRelief,
    payloadThreshold: number,
    events: UploadEvents,
  ) {
    const { blocks, clock } = control
    this.leases = control.leases
    this.#control = control
    this.#results = results
    this.#relief = relief
    this.#events = events
    this.#limitPages = control.pageLimit(0)
    // What is smaller travels beside a task's other fields. And where leases cannot be guarded, a program gets none.
    this.maxOrdinaryBytes = canSeal ? payloadThreshold - 1 : Infinity
    this.maxBytes = Math.max(
      payloadThreshold - 1,
      blocks.geometry.largestWithin(this.#limitPages) * PAGE_BYTES,
    )
    this.#deadlines = new Deadlines(
      () => clock.now(),
      (upload) => this.#onDeadline(upload),
      !control.isClockManual,
    )
  }

  /** Whether this client has received a body for `task`: it has memory, which comes back when it is done. */
  hasReceivedFor(task: object): boolean {
    return this.#tasks.has(task)
  }

  /** Flow time since when the first of the waiting waits; Infinity if none does. */
  get waitingSince(): number {
    if (this.#growers.size + this.#starters.size === 0) return Infinity
    for (const { wantedSince } of this.#growers) return wantedSince
    for (const { wantedSince } of this.#starters) return wantedSince
    return Infinity
  }

  /** Begins to receive a body for a task. Throws what is wrong with the source or its size. */
  receive(task: object, source: BodySource, options: UploadOptions): Arrival {
    if (this.#closed) throw stopped()
    const upload = new Upload(this, source, options, this.#control.clock.now())
    const bytes = new Promise<ArrayBuffer>((resolve, reject) => {
      this.#arriving.set(upload, (error) => {
        try {
          if (error === undefined) resolve(this.#take(task, upload))
          else reject(error)
        } catch (unexpected) {
          reject(toError(unexpected))
        }
      })
    })
    if (upload.timeout !== Infinity) this.#deadlines.add(upload, upload.timeout)
    upload.begin()
    return { bytes, cancel: (error) => upload.fail(error) }
  }

  /** Gives memory to those that wait for it, until there is none. Whether anybody got any. */
  retry(): boolean {
    if (this.#growers.size + this.#starters.size === 0) return false
    this.#control.blocks.wait() // before looking: what is released after the look wakes us
    let granted = false
    for (const upload of this.#growers) if (this.#grant(upload)) granted = true
    for (const upload of this.#starters) {
      if (!this.#isNext(upload) || !this.#grant(upload)) break
      granted = true
    }
    if (this.#growers.size + this.#starters.size > 0) this.#relieveMemory()
    return granted
  }

  /** Ends the lease of a body that had arrived. */
  release(buffer: ArrayBuffer): void {
    this.#results.release([buffer])
  }

  /** Fails what is late. */
  tick(): void {
    this.#deadlines.run()
  }

  /** Fails every body on its way, and takes no more. */
  close(): void {
    this.#closed = true
    for (const upload of this.#arriving.keys()) upload.fail(stopped())
    this.#deadlines.stop()
    clearTimeout(this.#reliefTimer)
  }

  want(upload: Upload): void {
    upload.wantedSince = this.#control.clock.now()
    if (this.#isNext(upload) && this.#grant(upload)) return
    const waiting = upload.block < 0 ? this.#starters : this.#growers
    waiting.add(upload)
    this.#events.onChance()
  }

  onSettled(upload: Upload, error: Error | undefined): void {
    const settle = this.#arriving.get(upload)
    const waited = this.#growers.delete(upload) || this.#starters.delete(upload)
    const grew = this.#growing.delete(upload)
    this.#arriving.delete(upload)
    if (upload.timeout !== Infinity) this.#deadlines.remove(upload, upload.timeout)
    if (error !== undefined && upload.block >= 0) this.#free(upload.block)
    settle?.(error)
    if (waited || grew) queueMicrotask(() => this.#events.onChance())
  }

  /** What has come, as a buffer of the program's. */
  #take(task: object, upload: Upload): ArrayBuffer {
    if (upload.block < 0) return upload.ordinary
    if (upload.grows) this.#trim(upload)
    const buffer = this.#results.hold(upload.block, upload.received)
    this.#tasks.add(task)
    this.#events.onArrived()
    return buffer
  }

  /** Who has a block goes before those that have none, and those in the order in which they came. */
  #isNext(upload: Upload): boolean {
    if (upload.block >= 0) return true
    if (this.#growers.size > 0 || this.#events.hasElder(upload.wantedSince)) return false
    for (const first of this.#starters) return first === upload
    return true
  }

  #grant(upload: Upload): boolean {
    const bytes = this.#bytesFor(upload)
    const pages = this.#pagesFor(bytes)
    const { blocks } = this.#control
    if (blocks.pagesInUse() + pages > this.#limitPages + this.#pagesOf(upload.block)) return false
    if (upload.grows && !this.#isSafe(upload, pages)) return false
    if (!this.#move(upload, bytes)) return false
    this.#growers.delete(upload)
    this.#starters.delete(upload)
    if (upload.grows) this.#growing.add(upload)
    upload.proceed()
    return true
  }

  /** How much to ask for: twice what it has, or all that it may need if a block of that size could not follow. */
  #bytesFor({ limit, wanted, capacity }: Upload): number {
    const next = Math.min(limit, Math.max(wanted, 2 * capacity))
    const { capPages } = this.#control.blocks.geometry
    return this.#pagesFor(next) + this.#pagesFor(limit) > capPages ? limit : next
  }

  /** Moves an upload into a block of its own for `bytes`. What it leaves is free at once, and so counts as free already. */
  #move(upload: Upload, bytes: number): boolean {
    const { blocks, actor } = this.#control
    const limit = this.#limitPages + this.#pagesOf(upload.block)
    const block = blocks.allocate(bytes, ownedByActor(actor), limit)
    if (block < 0) return false
    const left = upload.moveTo(block, this.#pagesOf(block) * PAGE_BYTES)
    if (left >= 0) this.#free(left)
    return true
  }

  /** A body that grew may lie in far too large a block: no more than a fifth of it may be idle, as of any block. */
  #trim(upload: Upload): void {
    const { received, capacity } = upload
    const isSmaller = this.#pagesFor(received) < this.#pagesOf(upload.block)
    if (isSmaller && capacity - received > capacity / 5) this.#move(upload, received)
  }

  /** Whether all that grow could still reach their limits, one after another, if `upload` had `pages`. */
  #isSafe(upload: Upload, pages: number): boolean {
    const needs: { readonly held: number; readonly need: number }[] = []
    let free = this.#limitPages
    for (const other of new Set([...this.#growing, upload])) {
      const held = other === upload ? pages : this.#pagesOf(other.block)
      needs.push({ held, need: this.#pagesFor(other.limit) - held })
      free -= held
    }
    needs.sort((a, b) => a.need - b.need)
    for (const { held, need } of needs) {
      if (need > free) return false
      free += held
    }
    return true
  }

  #pagesOf(block: number): number {
    return block < 0 ? 0 : this.#control.blocks.geometry.classOf(block).pages
  }

  /** Pages of the blocks in which so many bytes lie. */
  #pagesFor(bytes: number): number {
    const { geometry } = this.#control.blocks
    return geometry.classes[geometry.classFor(bytes)]?.pages ?? 0
  }

  #free(block: number): void {
    this.#control.blocks.release(block)
    this.#control.wakeMemoryWaiters()
  }

  /** Somebody waits for memory: forgotten results may hold it. */
  #relieveMemory(): void {
    if (this.#reliefTimer !== undefined || this.#results.heldBlocks === 0) return
    this.#reliefTimer = setTimeout(() => {
      this.#reliefTimer = undefined
      this.#events.onChance()
    }, this.#relief.relieve())
  }

  #onDeadline(upload: Upload): void {
    const { wanted, timeout, received } = upload
    if (wanted > 0) upload.fail(new OutOfMemoryError())
    else {
      const message = `the body had not arrived within ${timeout} ms: ${received} bytes had come`
      upload.fail(new TaskTimeoutError(timeout, message))
    }
  }
}

const stopped = (): FlowStoppedError =>
  new FlowStoppedError({}, 'the flow was stopped before the body had arrived')
