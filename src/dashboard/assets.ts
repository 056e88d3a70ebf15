import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { extname } from 'node:path'

/** A file of the page. */
export interface Asset {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** The page asks nobody else for anything, and runs nothing but its own files. */
const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
}

let assets: ReadonlyMap<string, Asset> | undefined

/** The files of the page by their names; '' is the page itself. Read once. */
export function pageAssets(): ReadonlyMap<string, Asset> {
  if (assets !== undefined) return assets
  const folder = new URL('./page/', import.meta.url)
  const found = new Map<string, Asset>()
  for (const file of readdirSync(folder)) {
    const type = TYPES[extname(file)]
    if (type === undefined) continue
    const body = readFileSync(new URL(file, folder))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    const headers = { 'content-type': type, 'cache-control': 'no-cache', etag, ...SECURITY }
    found.set(file === 'index.html' ? '' : file, { body, headers })
  }
  assets = found
  return found
}
