import { setFlagsFromString } from 'node:v8'
import { isMainThread } from 'node:worker_threads'

/**
 * ArrayBuffers that only this module can detach.
 *
 * A payload in shared memory is handed out as an ArrayBuffer. Detaching it is what makes a late read see an empty
 * buffer instead of another task's data. The opposite danger is a detach by somebody else: `buffer.transfer()`, a BYOB
 * read and `controller.enqueue()` of a byte stream all move the memory into a *new* ArrayBuffer that nobody watches,
 * while the watched one looks released. ECMAScript has a guard for exactly this, the [[ArrayBufferDetachKey]]: with a
 * key set, a detach without it throws a TypeError and changes nothing. V8 exposes the key only as a runtime function,
 * which is compiled here once and the flag switched off again.
 */
const key = Symbol('aqueduct.lease')

interface DetachKey {
  set(buffer: ArrayBuffer, key: symbol | undefined): void
  detach(buffer: ArrayBuffer, key: symbol): void
}

/**
 * Where a key can be used. V8 before 13 ends the process when a keyed buffer is transferred (Node 22). And when a thread
 * ends, Node detaches every external buffer without a key, and ends the process when it cannot: the main thread has an
 * `exit` event in which the last keyed buffers are detached, a thread that is terminated has none.
 */
const hasSafeDetachKey = isMainThread && Number(process.versions.v8.split('.')[0]) >= 13

const compile = (body: string): unknown => Reflect.construct(Function, ['buffer', 'key', body])

function bindDetachKey(): DetachKey | undefined {
  setFlagsFromString('--allow-natives-syntax')
  try {
    return {
      set: compile('%ArrayBufferSetDetachKey(buffer, key)') as DetachKey['set'],
      detach: compile('%ArrayBufferDetach(buffer, key)') as DetachKey['detach'],
    }
  } catch {
    return undefined // --disallow-code-generation-from-strings, or an engine without these functions
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
}

let detachKey = hasSafeDetachKey ? bindDetachKey() : undefined

/**
 * Calls a bound function. V8 throws away code that was not used for a while and compiles it again from its source: with
 * the flag off, that is a SyntaxError before anything has run, and the functions are bound anew.
 */
function withDetachKey(call: (bound: DetachKey) => void): void {
  if (detachKey === undefined) return
  try {
    call(detachKey)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    detachKey = bindDetachKey()
    if (detachKey !== undefined) call(detachKey)
  }
}

/** Whether buffers can be guarded here against being moved away. Where not, a caller gets copies instead of leases. */
export const canSeal: boolean = detachKey !== undefined

/** A seal on a buffer: the handle with which it is broken. */
export type Seal = number

/**
 * The buffers whose seals have not been broken, weakly where the holder may simply forget the buffer. Seals come and go
 * by the hundred thousand: places in an array make no garbage, where a set makes a new table every few of them.
 */
const sealed: (ArrayBuffer | WeakRef<ArrayBuffer> | undefined)[] = []
const freePlaces: number[] = []

if (canSeal) {
  process.once('exit', () => {
    for (const holder of sealed) {
      const buffer = holder instanceof WeakRef ? holder.deref() : holder
      if (buffer !== undefined) withDetachKey((bound) => bound.detach(buffer, key))
    }
  })
}

/** Guards `buffer`: until {@link unseal} nobody can detach it. Undefined where {@link canSeal} is false. */
export function seal(buffer: ArrayBuffer, mayBeForgotten: boolean): Seal | undefined {
  if (!canSeal) return undefined
  withDetachKey((bound) => bound.set(buffer, key))
  const place = freePlaces.pop() ?? sealed.length
  sealed[place] = mayBeForgotten ? new WeakRef(buffer) : buffer
  return place
}

/** Breaks the seal: the buffer can be moved again. */
export function unseal(buffer: ArrayBuffer, handle: Seal): void {
  forgetSeal(handle)
  withDetachKey((bound) => bound.set(buffer, undefined))
}

/** Forgets a sealed buffer that the garbage collector has taken. */
export function forgetSeal(handle: Seal): void {
  sealed[handle] = undefined
  freePlaces.push(handle)
}
