type Child = Node | string | number | undefined | false
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

function fill<T extends Element>(
  element: T,
  attributes: Attributes,
  children: readonly Child[],
): T {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    element.setAttribute(name, value === true ? '' : String(value))
  }
  for (const child of children) {
    if (child === undefined || child === false) continue
    element.append(child instanceof Node ? child : String(child))
  }
  return element
}

/** An element of HTML. What is text stays text. */
export const h = <K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] => fill(document.createElement(name), attributes, children)

/** An element of SVG. */
export const s = <K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children)

export function byId(id: string): HTMLElement {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element
}

/** Changes a text only where it is another one: a screen reader would read it again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Sets custom properties: the page's policy allows no style attributes. */
export function styled<T extends HTMLElement | SVGElement>(
  element: T,
  properties: Readonly<Record<string, string | number>>,
): T {
  for (const [name, value] of Object.entries(properties))
    element.style.setProperty(name, String(value))
  return element
}

/** Text for those who hear the page. */
export const hidden = (text: string): HTMLElement => h('span', { class: 'visually-hidden' }, text)

interface Column<Row> {
  readonly title: string
  readonly isNumber?: boolean
  readonly cell: (row: Row) => Child
}

/** A table; its first column names the rows. */
export function table<Row>(
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): HTMLElement {
  const classOf = ({ isNumber }: Column<Row>): string | undefined =>
    isNumber ? 'number' : undefined
  return h(
    'div',
    { class: 'table', role: 'region', 'aria-label': caption, tabindex: 0 },
    h(
      'table',
      {},
      h('caption', { class: 'visually-hidden' }, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...columns.map((column) =>
            h('th', { scope: 'col', class: classOf(column) }, column.title),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        ...rows.map((row) =>
          h(
            'tr',
            {},
            ...columns.map((column, index) =>
              index === 0
                ? h('th', { scope: 'row', class: classOf(column) }, column.cell(row))
                : h('td', { class: classOf(column), 'data-title': column.title }, column.cell(row)),
            ),
          ),
        ),
      ),
    ),
  )
}

/** Replaces what an element holds, unless it is the same again; what has the focus keeps it, what is open stays open. */
export function replace(parent: HTMLElement, ...children: HTMLElement[]): void {
  const next = h('div', {}, ...children)
  const open = new Set(
    [...parent.querySelectorAll<HTMLElement>('details[open][data-key]')].map(
      (it) => it.dataset['key'],
    ),
  )
  for (const details of next.querySelectorAll<HTMLDetailsElement>('details[data-key]'))
    if (open.has(details.dataset['key'])) details.open = true
  morph(parent, next)
}

/** Makes the children of `old` those of `next`, and keeps every element that can stay. */
function morph(old: Element, next: Element): void {
  const before = [...old.childNodes]
  const after = [...next.childNodes]
  after.forEach((node, index) => {
    const present = before[index]
    if (present === undefined) old.append(node)
    else if (
      present instanceof Element &&
      node instanceof Element &&
      present.tagName === node.tagName
    ) {
      takeAttributes(present, node)
      morph(present, node)
    } else if (present instanceof Text && node instanceof Text) {
      if (present.data !== node.data) present.data = node.data
    } else present.replaceWith(node)
  })
  for (const extra of before.slice(after.length)) extra.remove()
}

function takeAttributes(present: Element, node: Element): void {
  for (const name of present.getAttributeNames())
    if (!node.hasAttribute(name)) present.removeAttribute(name)
  for (const { name, value } of node.attributes) {
    if (present.getAttribute(name) === value) continue
    // The page's policy allows no style attributes; what scripts set it does.
    if (name === 'style')
      (present as HTMLElement).style.cssText = (node as HTMLElement).style.cssText
    else if (name !== 'open') present.setAttribute(name, value)
    else (present as HTMLDetailsElement).open = true
  }
}
