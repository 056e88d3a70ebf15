/** Passes on what workers print, each line labelled with the worker. */
export class OutputLabeller {
  readonly #partial = new Map<string, string>()

  write(label: string, stream: 'stdout' | 'stderr', text: string): void {
    const key = `${stream} ${label}`
    const lines = ((this.#partial.get(key) ?? '') + text).split('\n')
    const rest = lines.pop() ?? ''
    if (rest === '') this.#partial.delete(key)
    else this.#partial.set(key, rest)
    for (const line of lines) process[stream].write(`[${label}] ${line}\n`)
  }
}
