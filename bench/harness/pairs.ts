/** Measures two ways in turn; each goes first in every other pair, so that a drift favours neither. */
export async function alternatingPairs<Figure>(
  count: number,
  ours: () => Promise<Figure>,
  theirs: () => Promise<Figure>,
  onPair: (pair: number, ours: Figure, theirs: Figure) => void = () => undefined,
): Promise<{ readonly ours: Figure; readonly theirs: Figure }[]> {
  const pairs: { readonly ours: Figure; readonly theirs: Figure }[] = []
  for (let pair = 0; pair < count; pair++) {
    const oursFirst = pair % 2 === 0
    const first = await (oursFirst ? ours : theirs)()
    const second = await (oursFirst ? theirs : ours)()
    const figures = oursFirst ? { ours: first, theirs: second } : { ours: second, theirs: first }
    onPair(pair, figures.ours, figures.theirs)
    pairs.push(figures)
  }
  return pairs
}

/** The values in an order that begins one further each time: nobody is always first. */
export function rotated<Value>(values: readonly Value[], by: number): Value[] {
  const start = by % values.length
  return [...values.slice(start), ...values.slice(0, start)]
}
