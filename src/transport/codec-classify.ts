import { types } from 'node:util'
import { binaryKinds, errorClasses, tags } from './codec-format.ts'

/** Added to the number of a binary kind, to tell it from a tag. */
export const firstBinary = 64

/** `classify` found something that is not plain data. */
export const notPlain = 0

const known = new Map<object | null, number>([
  [Object.prototype, tags.object],
  [null, tags.bareObject],
  [Map.prototype, tags.map],
  [Set.prototype, tags.set],
  [Date.prototype, tags.date],
  ...binaryKinds.map((kind, index): [object, number] => [
    (globalThis as unknown as Record<string, { prototype: object }>)[kind.name]!.prototype,
    firstBinary + index,
  ]),
])

/**
 * How an object travels: the tag of its kind, `firstBinary` plus the number of a binary kind, or
 * `notPlain`. Only exact built-ins count: an instance of a subclass would come back as less than it
 * was.
 */
export function classify(value: object): number {
  if (Array.isArray(value)) return isBuiltIn(value, 2) ? tags.array : notPlain
  return known.get(Object.getPrototypeOf(value) as object | null) ?? classifyByBrand(value)
}

// Errors, and whatever comes from another realm (a vm context: Jest runs tests in one), whose
// built-ins have other prototypes.
function classifyByBrand(value: object): number {
  if (types.isNativeError(value) || value instanceof Error) return tags.error
  if (types.isMap(value)) return isBuiltIn(value, 2) ? tags.map : notPlain
  if (types.isSet(value)) return isBuiltIn(value, 2) ? tags.set : notPlain
  if (types.isDate(value)) return isBuiltIn(value, 2) ? tags.date : notPlain
  const binary = binaryName(value)
  if (binary !== undefined) {
    const depth = binary === 'ArrayBuffer' || binary === 'DataView' ? 2 : 3
    return isBuiltIn(value, depth)
      ? firstBinary + binaryKinds.findIndex((kind) => kind.name === binary)
      : notPlain
  }
  if (types.isProxy(value) || Symbol.toStringTag in value) return notPlain
  return isBuiltIn(value, 1) ? tags.object : notPlain
}

// The getter of the common prototype tells the kind of a typed array of any realm.
const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object

function binaryName(value: object): string | undefined {
  if (types.isArrayBuffer(value)) return 'ArrayBuffer'
  if (types.isDataView(value)) return 'DataView'
  return Reflect.get(typedArrayPrototype, Symbol.toStringTag, value) as string | undefined
}

/** Whether some realm's `Object.prototype` is the `depth`th prototype of `value`. */
function isBuiltIn(value: object, depth: number): boolean {
  let prototype: object | null = value
  for (let level = 0; level < depth && prototype; level++)
    prototype = Object.getPrototypeOf(prototype) as object | null
  return (
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  )
}

const errorNumbers = new Map<object | null, number>(
  errorClasses.map((errorClass, index) => [errorClass.prototype, index]),
)

/** The number of the built-in class that an error is an instance of. */
export function errorNumber(error: object): number {
  let prototype = Object.getPrototypeOf(error) as object | null
  while (prototype !== null) {
    const number = errorNumbers.get(prototype)
    if (number !== undefined) return number
    prototype = Object.getPrototypeOf(prototype) as object | null
  }
  return 0
}

/** What to call a value that cannot travel, and what to do instead. */
export function describeRefusal(value: unknown): {
  readonly what: string
  readonly wayOut: string
} {
  const wayOut = 'Send plain data in its place, or keep it out of the task’s fields (#private).'
  if (typeof value === 'function') return { what: 'is a function', wayOut }
  if (typeof value === 'symbol') return { what: 'is a symbol', wayOut }
  if (types.isPromise(value)) return { what: 'is a Promise', wayOut: 'Await it first.' }
  if (types.isSharedArrayBuffer(value))
    return { what: 'is a SharedArrayBuffer', wayOut: 'Send a copy of its bytes.' }
  if (types.isProxy(value)) return { what: 'is a Proxy', wayOut }
  const name = className(value as object)
  return { what: name ? `is an instance of ${name}` : 'is not a plain object', wayOut }
}

function className(value: object): string {
  try {
    const { name } = value.constructor
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}
