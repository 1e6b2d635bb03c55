// Splits a command line into words, as a POSIX shell does without expansions.

export type Split = { words: string[] } | { fault: string };

export function splitWords(line: string): Split {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const c = line[at] ?? '';
    if (quote === "'") {
      if (c === "'") quote = '';
      else word += c;
    } else if (c === '\\') {
      at += 1;
      if (at >= line.length) return { fault: 'the line ends after a backslash' };
      word = (word ?? '') + (line[at] ?? '');
    } else if (quote === '"') {
      if (c === '"') quote = '';
      else word += c;
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (/\s/.test(c)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + c;
    }
  }
  if (quote) return { fault: `a ${quote} is not closed` };
  if (word !== null) words.push(word);
  return { words };
}

/** Reads lines of KEY=VALUE. */
export function readPairs(text: string): { pairs: Record<string, string> } | { fault: string } {
  const pairs: Record<string, string> = {};
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '') continue;
    const at = line.indexOf('=');
    if (at < 1) return { fault: `'${line}' is not KEY=VALUE` };
    pairs[line.slice(0, at)] = line.slice(at + 1);
  }
  return { pairs };
}
