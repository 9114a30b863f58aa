// Lines on top of each other, as uPlot draws them: each is the sum of itself and all before it.

/** The sums, the last one the largest. */
export function stack(lines: number[][]): number[][] {
  const sums: number[][] = [];
  for (const line of lines) {
    const below = sums.at(-1);
    sums.push(line.map((value, index) => value + (below?.[index] ?? 0)));
  }
  return sums;
}
