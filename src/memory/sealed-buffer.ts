import { setFlagsFromString } from 'node:v8'

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
  set(buffer: ArrayBuffer, key: symbol): void
  detach(buffer: ArrayBuffer, key: symbol): void
}

/** V8 before 13 ends the process when a keyed buffer is transferred, so there keys are not used (Node 22). */
const hasSafeDetachKey = Number(process.versions.v8.split('.')[0]) >= 13

function bindDetachKey(): DetachKey {
  setFlagsFromString('--allow-natives-syntax')
  try {
    return {
      set: new Function(
        'buffer',
        'key',
        '%ArrayBufferSetDetachKey(buffer, key)',
      ) as DetachKey['set'],
      detach: new Function(
        'buffer',
        'key',
        '%ArrayBufferDetach(buffer, key)',
      ) as DetachKey['detach'],
    }
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
}

const detachKey = hasSafeDetachKey ? bindDetachKey() : undefined

/** Whether this engine can guard a buffer against being detached by others. Without it, payloads are copied out. */
export const canSeal: boolean = detachKey !== undefined

/** Guards `buffer`: from now on only {@link unseal} detaches it. */
export function seal(buffer: ArrayBuffer): void {
  detachKey?.set(buffer, key)
}

/** Detaches a sealed buffer: it and every view of it have length 0 from now on. */
export function unseal(buffer: ArrayBuffer): void {
  if (detachKey !== undefined) detachKey.detach(buffer, key)
  else buffer.transfer(0)
}
