import { type Goal, type Report, type Row, type Workload, isMet } from '../harness/report.ts'
import { drawBars } from './bars.ts'
import type { Chart } from './chart.ts'
import { escape, figure } from './format.ts'
import { drawLines } from './lines.ts'
import { colours } from './palette.ts'

/** A report, and the workload that it is of. */
export interface Section {
  readonly report: Report
  readonly workload: Workload
  /** When it was measured. */
  readonly at: Date
}

const style = `
:root{${colours.light};color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${colours.dark}}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:860px;margin:0 auto;padding:40px 20px 80px}
h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;margin:0 0 8px}
h2{font-size:24px;letter-spacing:-.01em;margin:0 0 6px}
h3{font-size:15px;margin:28px 0 10px;font-weight:600}
h3 small{color:var(--muted);font-weight:400}
p{margin:0 0 10px}
.lead,.facts{color:var(--muted)}
.facts{font-size:13px}
nav{display:flex;flex-wrap:wrap;gap:6px 14px;margin:22px 0 30px;font-size:14px}
a{color:var(--ours);text-decoration:none}a:hover{text-decoration:underline}
section{background:var(--panel);border:1px solid var(--line);border-radius:14px;padding:26px 28px;margin:22px 0}
svg{width:100%;height:auto;display:block;overflow:visible}
svg text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--text)}
svg .tick,svg .axis{fill:var(--muted);font-size:12px}
svg .group{font-weight:600}
svg .ours{font-weight:700;fill:var(--ours)}
svg .figure{fill:var(--muted)}
svg .grid{stroke:var(--line);stroke-width:1}
svg .range{stroke:var(--text);stroke-width:1.2;opacity:.55;fill:none}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0 56px;font-size:13px;color:var(--muted)}
.key{display:inline-flex;align-items:center;gap:7px}.key svg{width:26px;flex:none}.key.ours{color:var(--ours);font-weight:700}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--muted);font-weight:500;font-size:13px}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}
.met{color:var(--good);font-weight:700}.missed{color:var(--bad);font-weight:700}.not{color:var(--muted)}
.range{color:var(--muted);font-size:12px;white-space:nowrap}
details{margin-top:22px;font-size:14px}summary{cursor:pointer;color:var(--muted)}
details table{font-size:12px}details td,details th{white-space:nowrap}
.missing{border-left:3px solid var(--bad);padding:2px 0 2px 12px;font-size:14px;margin:14px 0}
@media (max-width:640px){.goals thead{display:none}.goals tr{display:grid;grid-template-columns:1fr auto;gap:2px 12px;padding:10px 0;border-bottom:1px solid var(--line)}.goals td{border:0;padding:0;text-align:left}.goals td.what{grid-column:1/-1}.goals td.n{white-space:normal}.goals td.goal{color:var(--muted);font-size:13px}.goals td.verdict{grid-column:2;grid-row:2/4;align-self:center}.goals td.of{display:none}main{padding:24px 12px 60px}h1{font-size:27px}section{padding:20px 16px;border-radius:10px}.chart{overflow-x:auto}.chart>svg{min-width:520px}.legend{margin-left:0}}
`

/** All that was measured on one page that needs nothing but itself. */
export function makePage(sections: readonly Section[], isQuick: boolean): string {
  const goals = sections.flatMap(({ report: { goals: own = [], workload } }) =>
    own.map((goal) => ({ goal, workload })),
  )
  const first = sections[0]
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>aqueduct-ts, measured</title><style>${style}</style></head><body><main>
<h1>aqueduct-ts, measured</h1>
<p class="lead">Side by side with what people would use instead: each comparison in one run, sides in turn, medians with their spread.${isQuick ? ' <b>A quick run: it shows that everything runs, its figures mean nothing.</b>' : ''}</p>
${first === undefined ? '<p>Nothing has been measured yet.</p>' : `<p class="facts">${facts(first.report)}</p>`}
<nav>${sections.map(({ report: { workload } }) => `<a href="#${workload}">${workload}</a>`).join('')}</nav>
${goals.length === 0 ? '' : goalSection(goals)}
${sections.map(sectionOf).join('\n')}
</main></body></html>
`
}

function goalSection(goals: readonly { readonly goal: Goal; readonly workload: string }[]): string {
  const rows = goals.map(
    ({ goal, workload }) =>
      `<tr><td class="of"><a href="#${workload}">${escape(workload)}</a></td>${goalCells(goal)}</tr>`,
  )
  const count = (met: boolean): number => goals.filter(({ goal }) => isMet(goal) === met).length
  const unmeasured = goals.length - count(true) - count(false)
  return `<section id="targets"><h2>Targets</h2><p class="lead">${count(true)} met, ${count(false)} missed${unmeasured > 0 ? `, ${unmeasured} not measured` : ''}.</p>
<div class="scroll"><table class="goals"><thead><tr><th></th><th>target</th><th class="n">goal</th><th class="n">measured</th><th></th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function goalCells(goal: Goal): string {
  const met = isMet(goal)
  const range =
    goal.min == null || goal.max == null
      ? ''
      : `<br><span class="range">${figure(goal.min)} to ${figure(goal.max)}${goal.pairs === undefined ? '' : `, ${goal.pairs} ${goal.pairs === 1 ? 'pair' : 'pairs'}`}</span>`
  const verdict =
    met === undefined
      ? '<span class="not">not measured</span>'
      : met
        ? '<span class="met">met</span>'
        : '<span class="missed">missed</span>'
  const measured =
    met === undefined ? '–' : `${figure(goal.measured!)} ${escape(goal.unit)}${range}`
  return `<td class="what">${escape(goal.what)}</td><td class="n goal">${goal.bound} ${figure(goal.goal)} ${escape(goal.unit)}</td><td class="n">${measured}</td><td class="verdict">${verdict}</td>`
}

function sectionOf({ report, workload, at }: Section): string {
  const { workload: name, charts = [], goals = [], missing = [], results } = report
  return `<section id="${name}"><h2>${escape(name)}</h2><p>${escape(workload.explained)}</p>
${missing.map((each) => `<p class="missing"><b>${escape(each.name)}</b> is missing: ${escape(each.reason.split('\n')[0]!)}</p>`).join('')}
${charts.map(chartOf).join('\n')}
${goals.length === 0 ? '' : `<h3>Targets</h3><div class="scroll"><table class="goals"><tbody>${goals.map((goal) => `<tr>${goalCells(goal)}</tr>`).join('')}</tbody></table></div>`}
<details><summary>All figures</summary>${tablesOf(results)}<p class="facts">${at.toISOString().slice(0, 16).replace('T', ' ')} UTC. ${facts(report)} <code>npm run bench -- ${name}</code></p></details></section>`
}

function chartOf(chart: Chart): string {
  const unit = chart.kind === 'lines' ? chart.y.label : chart.unit
  const drawn = chart.kind === 'bars' ? drawBars(chart) : drawLines(chart)
  return `<h3>${escape(chart.title)} <small>${escape(unit)}, ${chart.better} is better</small></h3><div class="chart">${drawn}</div>`
}

/** Rows that share their columns stand together. */
function tablesOf(rows: readonly Row[]): string {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const columns = Object.keys(row).join(' ')
    groups.set(columns, [...(groups.get(columns) ?? []), row])
  }
  return [...groups.values()]
    .map((group) => {
      const columns = Object.keys(group[0]!)
      const head = columns.map((column) => `<th>${escape(column)}</th>`).join('')
      const body = group.map(
        (row) => `<tr>${columns.map((column) => `<td>${cell(row[column])}</td>`).join('')}</tr>`,
      )
      return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>`
    })
    .join('')
}

function cell(value: unknown): string {
  if (typeof value === 'number') return figure(value)
  return value === null || value === undefined
    ? '–'
    : escape(typeof value === 'string' ? value : JSON.stringify(value))
}

function facts({ machine, versions }: Report): string {
  const all = { ...(machine as Record<string, unknown>), ...(versions as Record<string, unknown>) }
  const { cpus, model, memoryBytes, kernel, architecture, loadAverageBefore, ...rest } = all
  const parts = [
    `${String(cpus)} × ${String(model)} (${String(architecture)})`,
    `${(Number(memoryBytes) / 2 ** 30).toFixed(0)} GiB`,
    String(kernel),
    `load before ${figure(Number(loadAverageBefore))}`,
    ...Object.entries(rest).map(([name, version]) => `${name} ${String(version)}`),
  ]
  return escape(parts.join(' · '))
}
