// Numbers, times and amounts as people read them.

const NONE = '–';

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : value.toLocaleString('en-US');
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : `${Math.round(value)} %`;
}

/** A span in its two largest units, as in "2 h 5 min". */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return NONE;
  const sign = ms < 0 ? '−' : '';
  const abs = Math.abs(ms);
  if (abs < 1_000) return `${sign}${Math.round(abs)} ms`;
  if (abs < 10_000 && abs % 1_000 !== 0) return `${sign}${(abs / 1_000).toFixed(1)} s`;
  const seconds = Math.floor(abs / 1_000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  const shown = parts.slice(first, first + 2).filter(([value]) => value > 0);
  return sign + shown.map(([value, unit]) => `${value} ${unit}`).join(' ');
}

/** A duration in seconds, as plots of latency show it. */
export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value < 0.000_95) return `${Math.round(value * 1_000_000)} µs`;
  if (value < 0.01) return `${(value * 1_000).toFixed(1)} ms`;
  return span(value * 1_000);
}

export function ago(timestamp: string | null | undefined, now: number): string {
  if (!timestamp) return NONE;
  const distance = now - Date.parse(timestamp);
  if (!Number.isFinite(distance)) return NONE;
  if (Math.abs(distance) < 1_000) return 'now';
  return distance > 0
    ? `${span(Math.floor(distance / 1_000) * 1_000)} ago`
    : `in ${span(Math.ceil(-distance / 1_000) * 1_000)}`;
}

/** Time of the day, with the date if it is not that of today. */
export function clock(time: string | number | null | undefined, now: number = Date.now()): string {
  if (time === null || time === undefined || time === '') return NONE;
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return NONE;
  const day = (date: Date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const hours = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return day(at) === day(new Date(now)) ? hours : `${day(at)} ${hours}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

export function mebibytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return bytes(value * 1_048_576);
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let rest = value;
  let unit = 0;
  while (rest >= 1_024 && unit < units.length - 1) {
    rest /= 1_024;
    unit += 1;
  }
  const digits = unit > 0 && rest < 10 && !Number.isInteger(rest) ? 1 : 0;
  return `${rest.toFixed(digits)} ${units[unit]}`;
}

/** Words of a program call as a shell would take them. */
export function commandLine(command: readonly string[]): string {
  return command
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** Names of an API as words: "start-failed" and "drain_started" become "start failed" and "drain started". */
export function words(name: string | null | undefined): string {
  return name ? name.replaceAll(/[-_]/g, ' ') : NONE;
}

export function labels(all: Record<string, string> | undefined): string[] {
  return Object.entries(all ?? {}).map(([key, value]) => (value === '' ? key : `${key}=${value}`));
}

export function resources(
  of:
    | {
        cpu?: number | null;
        memory_mb?: number | null;
        storage_mb?: number | null;
        gpu?: number | null;
        custom?: Record<string, number>;
      }
    | null
    | undefined,
): string {
  if (!of) return NONE;
  const parts: string[] = [];
  if (of.cpu) parts.push(`${of.cpu} CPU`);
  if (of.memory_mb) parts.push(mebibytes(of.memory_mb));
  if (of.storage_mb) parts.push(`${mebibytes(of.storage_mb)} disk`);
  if (of.gpu) parts.push(`${of.gpu} GPU`);
  for (const [name, amount] of Object.entries(of.custom ?? {})) parts.push(`${amount} ${name}`);
  return parts.join(', ') || NONE;
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
