import koffi from 'koffi'

/**
 * The few calls of the C library that Node does not offer, bound once per thread. They are looked up in the running
 * process itself, so glibc and musl need no different name.
 */
export interface Libc {
  readonly memfdCreate: (name: string, flags: number) => number
  readonly ftruncate: (fd: number, length: number) => number
  readonly mmap: (
    address: null,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => unknown
  readonly munmap: (address: number, length: number) => number
  readonly fallocate: (fd: number, mode: number, offset: number, length: number) => number
  readonly pipe2: (ends: number[], flags: number) => number
  readonly dup: (fd: number) => number
  readonly close: (fd: number) => number
  readonly write: (fd: number, address: number, length: number) => number
  readonly schedYield: () => number
  readonly prctl: (option: number, value: number) => number
  readonly getppid: () => number
  readonly getsockopt: (
    fd: number,
    level: number,
    option: number,
    value: number[],
    length: number[],
  ) => number
}

let bound: Libc | undefined

/** The bound calls; throws on platforms without them (only Linux has all). */
export function libc(): Libc {
  if (bound !== undefined) return bound
  const self = koffi.load(null)
  bound = {
    memfdCreate: self.func('int memfd_create(const char *name, unsigned int flags)'),
    ftruncate: self.func('int ftruncate(int fd, int64_t length)'),
    mmap: self.func(
      'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
    ),
    munmap: self.func('int munmap(uintptr_t address, size_t length)'),
    fallocate: self.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
    pipe2: self.func('int pipe2(_Out_ int *ends, int flags)'),
    dup: self.func('int dup(int fd)'),
    close: self.func('int close(int fd)'),
    write: self.func('int64_t write(int fd, uintptr_t buffer, size_t length)'),
    schedYield: self.func('int sched_yield()'),
    prctl: self.func('int prctl(int option, unsigned long value)'),
    getppid: self.func('int getppid()'),
    getsockopt: self.func(
      'int getsockopt(int fd, int level, int option, _Out_ int *value, _Inout_ int *length)',
    ),
  }
  return bound
}

/** An ArrayBuffer over memory at `address` (bytes); it owns nothing. */
export function viewAt(address: number, byteLength: number): ArrayBuffer {
  return koffi.view(address, byteLength)
}

/** The number behind a pointer that a call returned. User-space addresses fit 47 bits, so a double holds them. */
export function addressOf(pointer: unknown): number {
  return Number(koffi.address(pointer))
}
