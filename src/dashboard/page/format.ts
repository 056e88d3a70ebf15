const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const hundredth = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })

/** A number with about three digits that count. */
export const number = (value: number): string =>
  (value >= 100 ? whole : value >= 10 ? tenth : hundredth).format(value)

export const integer = (value: number): string => whole.format(value)

/** A short time, from milliseconds. */
export function duration(ms: number): string {
  if (ms === 0) return '0 ms'
  if (ms < 1_000) return `${number(ms)} ms`
  if (ms < 60_000) return `${number(ms / 1_000)} s`
  return longDuration(ms)
}

/** A long time, from milliseconds: its two largest units. */
export function longDuration(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function bytes(value: number): string {
  let unit = 0
  let scaled = value
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024
    unit++
  }
  return `${number(scaled)} ${UNITS[unit]}`
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`

const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

/** The time of day, from milliseconds since 1970. */
export const clock = (at: number): string => time.format(at)

export function ago(at: number, now: number): string {
  return now - at < 1_500 ? 'just now' : `${longDuration(now - at)} ago`
}

export const count = (value: number, one: string, many = `${one}s`): string =>
  `${integer(value)} ${value === 1 ? one : many}`
