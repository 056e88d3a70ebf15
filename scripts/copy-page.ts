// What the dashboard's page has beside its programs: the compiler leaves it where it is.
import { cpSync } from 'node:fs'

cpSync('src/dashboard/page', 'dist/dashboard/page', {
  recursive: true,
  filter: (file) => !/\.(?:ts|json)$/.test(file),
})
