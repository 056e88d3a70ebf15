/** Numbers for people: three digits that count, thousands parted. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

/** The same where there is little room: 1.2M, 64k. */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${trim(value / 1e6)}M`
  if (size >= 1e3) return `${trim(value / 1e3)}k`
  return trim(value)
}

/** Bytes in powers of 1,024. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(3, Math.floor(Math.log2(Math.max(1, value)) / 10))
  return `${trim(value / 1024 ** power)} ${units[power]}`
}

const trim = (value: number): string => Number(value.toPrecision(3)).toString()

/** Text in HTML and SVG. */
export const escape = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
