// Rows and columns of text, numbers to the right.

export function table (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map(row => row[column]!.length)))
  const isText = head.map((_name, column) => rows.every(row => !/^[-+−]?\d|^–$/.test(row[column]!)))
  const line = (cells: readonly string[]): string => cells.map((cell, column) => isText[column] ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join('  ').trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}
