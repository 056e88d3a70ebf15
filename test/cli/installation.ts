import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../support/documentation.ts'

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
}

/** A project that has installed the package with what it brings along, and none of its optional peers. */
export class Installation implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** @param files - the project's own, by their names. */
  static async make(files: Readonly<Record<string, string>>): Promise<Installation> {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-installed-'))
    const modules = join(folder, 'node_modules')
    await mkdir(join(modules, 'aqueduct-ts'), { recursive: true })
    for (const part of ['dist', 'package.json'])
      await cp(join(root, part), join(modules, 'aqueduct-ts', part), { recursive: true })
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest
    for (const name of Object.keys(manifest.dependencies))
      await symlink(join(root, 'node_modules', name), join(modules, name))
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    return new Installation(folder)
  }

  /** The command, as `npx aqueduct` would find it. */
  get bin(): string {
    return join(this.folder, 'node_modules/aqueduct-ts/dist/cli/aqueduct.js')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true })
  }
}
