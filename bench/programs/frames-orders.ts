/** How frames travel: through this library, or by what Node.js brings. */
export interface FramesPlan {
  readonly way: 'process' | 'thread' | 'clone' | 'transfer' | 'ipc'
}

/** Frames of a size, one after another; `bench/peers/python/frames.py` understands the same. */
export interface FramesOrder {
  readonly bytes: number
  readonly seconds: number
}
