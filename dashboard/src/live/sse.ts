// Parses a stream of Server-Sent Events, whatever pieces it arrives in.

export interface SseMessage {
  /** Id from which a client resumes; null if the block has none. */
  id: string | null;
  /** Null in a block that only moves the id on. */
  data: string | null;
}

/** Longest line that is kept: an event has some hundred bytes. */
const LINE_MAX = 1 << 20;

export class SseParser {
  private rest = '';
  private id: string | null = null;
  private data: string[] = [];

  /** Takes the next piece and returns the messages that it completes. */
  push(piece: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const lines = (this.rest + piece).split('\n');
    this.rest = lines.pop() ?? '';
    if (this.rest.length > LINE_MAX) throw new Error('an event is longer than any event of a master');
    for (const line of lines) {
      const message = this.line(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (message) messages.push(message);
    }
    return messages;
  }

  private line(line: string): SseMessage | null {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    // A comment.
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'id') this.id = value;
    else if (field === 'data') this.data.push(value);
    return null;
  }

  private dispatch(): SseMessage | null {
    const { id, data } = this;
    this.id = null;
    this.data = [];
    if (id === null && data.length === 0) return null;
    return { id, data: data.length === 0 ? null : data.join('\n') };
  }
}
