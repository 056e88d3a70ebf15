import { AqueductError } from './errors.ts'

function isNodeRecent(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 18)
}

/** Throws AQ_UNSUPPORTED where flows cannot run. */
export function checkPlatform(): void {
  if (!isNodeRecent()) {
    throw new AqueductError(
      'AQ_UNSUPPORTED',
      `aqueduct-ts needs Node 22.18 or later; this is ${process.version}`,
    )
  }
  if (process.platform !== 'linux') {
    throw new AqueductError(
      'AQ_UNSUPPORTED',
      `aqueduct-ts needs Linux for its shared memory; this is ${process.platform}`,
    )
  }
}
