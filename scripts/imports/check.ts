import './typescript.ts'
import { existsSync } from 'node:fs'
import { cruise, getAvailableTranspilers } from 'dependency-cruiser'
import { forbidden } from './rules.ts'

// Without a parser for TypeScript the cruise would find nothing and call that clean.
const parser = getAvailableTranspilers().find(({ name }) => name === 'typescript')
if (!parser?.available) throw new Error(`no TypeScript ${parser?.version} to parse with`)

const folders = ['src', 'test', 'examples', 'bench'].filter((folder) => existsSync(folder))
const { output, exitCode } = await cruise(folders, {
  validate: true,
  ruleSet: { forbidden },
  outputType: 'err-long',
  tsPreCompilationDeps: true, // type-only imports have a direction too
  doNotFollow: { path: 'node_modules' },
})

if (typeof output === 'string') console.log(output.trim())
process.exitCode = exitCode === 0 ? 0 : 1
