// Plots over time, drawn by uPlot, with their latest values in words.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { shownTheme } from '../theme';

export interface Series {
  name: string;
  /** Name of a color of the style sheet. */
  color: 'blue' | 'green' | 'red' | 'amber' | 'violet';
  values: readonly (number | null)[];
}

interface PlotProps {
  label: string;
  /** Seconds since the epoch. */
  times: readonly number[];
  series: readonly Series[];
  format: (value: number | null) => string;
  height?: number;
  /** Upper end of the scale; what there is decides if absent. */
  max?: number;
}

export function Plot({ label, times, series, format, height = 150, max }: PlotProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latestFormat = useRef(format);
  latestFormat.current = format;
  const theme = shownTheme.value;
  const names = series.map((each) => each.name).join();

  useEffect(() => {
    const target = frame.current;
    if (!target) return;
    const made = new uPlot(
      optionsOf(target, series, (value) => latestFormat.current(value), height, max),
      [[]],
      target,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: target.clientWidth, height }));
    observer.observe(target);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme, names, height, max]);

  useEffect(() => {
    const values = series.map((each) => [...each.values]);
    plot.current?.setData([[...times], ...values] as uPlot.AlignedData);
  });

  const latest = series.map((each) => ({
    each,
    value: each.values.findLast((value) => value !== null) ?? null,
  }));
  const spoken = latest.map(({ each, value }) => `${each.name} ${format(value)}`).join(', ');
  return (
    <figure class="plot">
      <figcaption>
        {latest.map(({ each, value }) => (
          <span key={each.name} class="key">
            <i class={`swatch ink-${each.color}`} aria-hidden="true" />
            {each.name} <b>{format(value)}</b>
          </span>
        ))}
      </figcaption>
      <div ref={frame} role="img" aria-label={`${label}, latest: ${spoken}`} />
    </figure>
  );
}

function optionsOf(
  target: HTMLElement,
  series: readonly Series[],
  format: (value: number | null) => string,
  height: number,
  max: number | undefined,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: color('muted'),
    font: `11px ${style.getPropertyValue('--font').trim() || 'sans-serif'}`,
    grid: { stroke: color('line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width: Math.max(target.clientWidth, 100),
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    padding: [8, 18, 0, 0],
    scales: {
      x: { time: true },
      y: { range: (_, _low, high) => [0, max ?? Math.max(high || 0, 1e-6) * 1.1] },
    },
    axes: [
      { ...axis, space: 70, size: 24, values: (_, ticks) => ticks.map(timeOfDay) },
      { ...axis, size: 58, space: 36, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...series.map((each) => ({
        label: each.name,
        stroke: color(each.color),
        width: 1.6,
        // A value between gaps is a point, because it is no line.
        points: { size: 4, filter: lonely },
        spanGaps: false,
      })),
    ],
  };
}

function timeOfDay(second: number): string {
  const at = new Date(second * 1_000);
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return second % 60 === 0 ? minutes : `${minutes}:${two(at.getSeconds())}`;
}

/** Returns the places of values that have no neighbor. */
function lonely(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const isMissing = (at: number) => values[at] === null || values[at] === undefined;
  return Array.from(values, (_, at) => at).filter(
    (at) => !isMissing(at) && isMissing(at - 1) && isMissing(at + 1),
  );
}
