// The end of a log: as many lines as a person reads, whatever a task writes.

export const LINES_MAX = 5_000;
export const LINE_LENGTH_MAX = 4_000;

export class LogBuffer {
  private lines: string[] = [];
  private open = '';
  /** Lines that were dropped at the beginning. */
  dropped = 0;

  push(piece: string): void {
    const parts = (this.open + piece).split('\n');
    this.open = cut(parts.pop() ?? '');
    for (const line of parts) this.lines.push(cut(withoutControls(line)));
    const excess = this.lines.length - LINES_MAX;
    if (excess > 0) {
      this.lines.splice(0, excess);
      this.dropped += excess;
    }
  }

  get text(): string {
    const all = this.open === '' ? this.lines : [...this.lines, withoutControls(this.open)];
    return all.join('\n');
  }

  get isEmpty(): boolean {
    return this.lines.length === 0 && this.open === '';
  }
}

function cut(line: string): string {
  return line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}…` : line;
}

/** Leaves colors and movements of a terminal out; of a line that was written over, the last version counts. */
function withoutControls(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  const plain = line.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, '').replace(/\r$/, '');
  return plain.slice(plain.lastIndexOf('\r') + 1);
}
