import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

export const root: string = join(import.meta.dirname, '../..')

/** An example that a page shows: a file of the reader's program. */
export interface ExampleFile {
  /** What its first line says: `// app.ts`. */
  readonly name: string
  readonly code: string
  /** What it prints when it is run; undefined for a file that others import, or that is shown and compiled only. */
  readonly prints: string | undefined
}

/** A page of the documentation. */
export interface Page {
  readonly name: string
  readonly text: string
  readonly files: readonly ExampleFile[]
}

const TS_BLOCK =
  /^```ts\n\/\/ (?<name>\S+\.ts)\b.*\n(?<code>[^]*?)^```$(?:\n+```text\n(?<output>[^]*?)^```$)?/gm
const PRINTS = /\/\/ prints: (.*)$/gm

/**
 * The files that a page shows: its TypeScript blocks that begin with a line such as `// app.ts`. What a program prints
 * stands in a text block right after it, or line by line in comments such as `// prints: 11`.
 */
export function exampleFilesOf(text: string): ExampleFile[] {
  return [...text.matchAll(TS_BLOCK)].map(({ groups }) => {
    const { name, code, output } = groups as { name: string; code: string; output?: string }
    const lines = [...code.matchAll(PRINTS)].map(([, line]) => `${line}\n`)
    return { name, code, prints: output ?? (lines.length > 0 ? lines.join('') : undefined) }
  })
}

async function readPage(file: string): Promise<Page> {
  const text = await readFile(join(root, file), 'utf8')
  return { name: file.replace(/^docs\/|\.md$/g, ''), text, files: exampleFilesOf(text) }
}

/** All pages of the folder `docs`. */
export async function readPages(): Promise<Page[]> {
  const names = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md'))
  return Promise.all(names.toSorted().map((name) => readPage(`docs/${name}`)))
}

/** What a heading is called in an address, as GitHub has it. */
const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-')

/** The text of a page without its blocks of code. */
const proseOf = (text: string): string => text.replaceAll(/^```[^]*?^```$/gm, '')

/** The anchors of a page's headings. */
export const anchorsOf = (text: string): Set<string> =>
  new Set([...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!)))

/** Where the links of a page lead: those within the project. */
export const linksOf = (text: string): string[] =>
  [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target))
