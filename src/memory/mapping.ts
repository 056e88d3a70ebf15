import { addressOf, libc, viewAt } from './libc.ts'

const MFD_CLOEXEC = 1
/** Linux 6.3 and later: the file can never be executed. Older kernels refuse the flag. */
const MFD_NOEXEC_SEAL = 8
const PROT_READ_WRITE = 3
const MAP_SHARED = 1
const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2

/**
 * A shared mapping of an anonymous memory file. The file is sparse: its size costs address space, only touched pages
 * cost memory. It has no name to leak, and is gone when the last process that holds it is gone.
 */
export class Mapping {
  /** The file descriptor, inherited by worker processes. */
  readonly fd: number
  readonly byteLength: number
  /** Where the mapping lies in this process: another process has it elsewhere, threads of this one share it. */
  readonly address: number

  private constructor(fd: number, byteLength: number, address: number) {
    this.fd = fd
    this.byteLength = byteLength
    this.address = address
  }

  /** Makes a new memory file of `byteLength` bytes and maps it. */
  static create(name: string, byteLength: number): Mapping {
    const { memfdCreate, ftruncate, close } = libc()
    let fd = memfdCreate(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL)
    if (fd < 0) fd = memfdCreate(name, MFD_CLOEXEC)
    if (fd < 0)
      throw new Error(
        `memfd_create failed for ${name}: this kernel offers no anonymous memory files`,
      )
    if (ftruncate(fd, byteLength) !== 0) {
      close(fd)
      throw new Error(`cannot size the memory file ${name} to ${byteLength} bytes`)
    }
    try {
      return Mapping.open(fd, byteLength)
    } catch (error) {
      close(fd)
      throw error
    }
  }

  /** Maps a memory file that another process made and handed over as `fd`. */
  static open(fd: number, byteLength: number): Mapping {
    const pointer = libc().mmap(null, byteLength, PROT_READ_WRITE, MAP_SHARED, fd, 0)
    const address = addressOf(pointer)
    // MAP_FAILED is -1: as a pointer, the last address there is.
    if (address === 0 || address > Number.MAX_SAFE_INTEGER) {
      throw new Error(
        `cannot map ${byteLength} bytes of shared memory: address space is limited (ulimit -v?)`,
      )
    }
    return new Mapping(fd, byteLength, address)
  }

  /** Takes a mapping that another thread of this process made. */
  static adopt(fd: number, byteLength: number, address: number): Mapping {
    return new Mapping(fd, byteLength, address)
  }

  /** A new ArrayBuffer over part of the mapping. */
  view(byteOffset: number, byteLength: number): ArrayBuffer {
    if (byteOffset < 0 || byteLength <= 0 || byteOffset + byteLength > this.byteLength) {
      throw new RangeError(
        `bytes ${byteOffset} to ${byteOffset + byteLength} lie outside the mapping of ${this.byteLength}`,
      )
    }
    return viewAt(this.address + byteOffset, byteLength)
  }

  /** Gives pages back to the system; they read as zeros afterwards. */
  punch(byteOffset: number, byteLength: number): void {
    libc().fallocate(this.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, byteOffset, byteLength)
  }

  /** Unmaps and closes. Every ArrayBuffer over the mapping must have been detached before. */
  destroy(): void {
    libc().munmap(this.address, this.byteLength)
    libc().close(this.fd)
  }
}
