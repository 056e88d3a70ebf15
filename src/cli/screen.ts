const ESC = '\u001b['
const CTRL_C = '\u0003'

/** The terminal as a screen of its own, which gives back what was there before. */
export class Screen {
  readonly #restore = (): void => {
    process.stdout.write(`${ESC}?25h${ESC}?1049l`) // the cursor, and the screen that was there
  }

  constructor() {
    process.stdout.write(`${ESC}?1049h${ESC}?25l`)
    // However the program ends.
    process.once('exit', this.#restore)
  }

  get width(): number {
    return process.stdout.columns || 80 // a terminal may not know
  }

  show(lines: readonly string[]): void {
    const shown = lines.slice(0, process.stdout.rows || 24)
    // Each line is overwritten and its rest cleared: no flicker.
    process.stdout.write(`${ESC}H${shown.join(`${ESC}K\r\n`)}${ESC}K${ESC}J`)
  }

  /** Resolves when q or Ctrl-C is pressed or the program is asked to end; the terminal is then as it was. */
  async untilQuit(onResize: () => void): Promise<void> {
    const { stdin, stdout } = process
    stdout.on('resize', onResize)
    stdin.setRawMode(true)
    stdin.setEncoding('utf8')
    await new Promise<void>((resolve) => {
      stdin.on('data', (keys: string) => {
        if (keys.includes('q') || keys.includes(CTRL_C)) resolve()
      })
      stdin.once('end', resolve)
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve)
    })
    stdin.setRawMode(false)
    stdin.pause()
    stdout.off('resize', onResize)
    process.off('exit', this.#restore)
    this.#restore()
  }
}
