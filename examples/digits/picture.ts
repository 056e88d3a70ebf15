/** A picture in one channel. */
export interface Picture {
  /** `width * height` values, row after row. */
  readonly values: Float32Array
  readonly width: number
  readonly height: number
}
