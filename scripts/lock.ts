// Completes package-lock.json. npm leaves out the packages of foreign platforms that it could not
// fetch while it wrote the file, and `npm ci` then refuses the file on every platform. Their names say
// what they are for, and their version stands in the package that wants them.
import { readFile, writeFile } from 'node:fs/promises'

interface LockedPackage {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  packages: Record<string, LockedPackage>
}

const platform = /(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)/
const processor = /(?<=-)(arm64|arm|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64)(?=-|$)/
const exactVersion = /^\d+[.]\d+[.]\d+$/

function lockedFor(name: string, version: string, dev: boolean): LockedPackage {
  const os = platform.exec(name)?.[0]
  const cpu = processor.exec(name.replace('/', '-'))?.[0]
  if (os === undefined || cpu === undefined || !exactVersion.test(version)) {
    throw new Error(`${name}@${version} is missing and its name does not say its platform`)
  }
  const libc = name.endsWith('-musl') ? 'musl' : 'glibc'
  const hasLibc = os === 'linux' && /-(gnu|musl)$/.test(name)
  return {
    version,
    cpu: [cpu],
    ...(dev && { dev }),
    ...(hasLibc && { libc: [libc] }),
    optional: true,
    os: [os],
  }
}

const text = await readFile('package-lock.json', 'utf8')
const lock = JSON.parse(text) as Lock
const paths = Object.keys(lock.packages)

for (const { dev = false, optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (paths.some((path) => path.endsWith(`node_modules/${name}`))) continue
    lock.packages[`node_modules/${name}`] = lockedFor(name, version, dev)
    console.log(`added ${name}@${version}`)
  }
}

const byPath = ([left]: [string, unknown], [right]: [string, unknown]) =>
  left.localeCompare(right, 'en')
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(byPath))
await writeFile('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)
