import { spawn, spawnSync } from 'node:child_process'
import { text } from 'node:stream/consumers'

/** Whether Prometheus' own checker is there (Debian: package prometheus). */
export const hasPromtool: boolean = spawnSync('promtool', ['--version']).status === 0

/** Runs it. What it says is empty where it has nothing to say. */
export async function promtool(
  args: readonly string[],
  { input = '', cwd }: { readonly input?: string; readonly cwd?: string } = {},
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn('promtool', args, { cwd })
  child.stdin.end(input)
  const closed = new Promise<number | null>((resolve) => {
    child.on('close', resolve)
  })
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, said: `${out}${err}`.trim() }
}
