// Plots of how much the cluster does, and how fast: of events, and of this master's own metrics.
import { useEffect, useRef, useState } from 'preact/hooks';
import { send } from '../api/client';
import { seconds } from '../format';
import { currentTime, now } from '../live/clock';
import { WAIT_STEP_SECONDS } from '../live/reducer';
import { useResource } from '../live/resource';
import { live, ticks } from '../live/store';
import { type Metrics, parseMetrics, quantileBetween } from '../prometheus';
import { Failure, Panel } from '../ui/basics';
import { Plot } from '../ui/plot';

/** Minutes that the plots show, in seconds. */
const SPAN = 300;
const RATE_STEP = 2;
const METRICS_EVERY_MS = 5_000;
const POINTS_MAX = (SPAN * 1_000) / METRICS_EVERY_MS;
const NAMES = new Set([
  'cloudai_raft_commit_seconds',
  'cloudai_raft_fsync_seconds',
  'cloudai_raft_apply_seconds',
]);

const perSecond = (value: number | null): string =>
  value === null
    ? '–'
    : `${value >= 100 ? Math.round(value).toLocaleString('en-US') : Number(value.toFixed(1))}/s`;

/** Returns the times of points that end at `second`. */
function times(second: number, length: number, step: number): number[] {
  return Array.from({ length: Math.floor(length / step) }, (_, at) => second - length + at * step + step);
}

export function ThroughputPlot() {
  ticks.tasks.value;
  const second = Math.floor(now.value / 1_000 / RATE_STEP) * RATE_STEP;
  const since = live.since ?? Number.POSITIVE_INFINITY;
  const at = times(second, SPAN, RATE_STEP);
  // Nobody has counted before the page was opened.
  const rates = (of: typeof live.started) =>
    of.perSecond(second, SPAN, RATE_STEP).map((rate, point) => ((at[point] ?? 0) > since ? rate : null));
  return (
    <Panel title="Throughput" aside={<span class="muted">tasks per second, since this page was opened</span>}>
      <Plot
        label="Tasks per second"
        height={248}
        times={at}
        format={perSecond}
        series={[
          { name: 'started', color: 'blue', values: rates(live.started) },
          { name: 'completed', color: 'green', values: rates(live.completed) },
          { name: 'failed', color: 'red', values: rates(live.failed) },
        ]}
      />
    </Panel>
  );
}

interface Point {
  at: number;
  commit50: number | null;
  commit99: number | null;
  fsync99: number | null;
}

export function LatencyPlots() {
  const metrics = useResource<Metrics>('metrics', readMetrics, { everyMs: METRICS_EVERY_MS });
  const before = useRef<Metrics | null>(null);
  const [points, setPoints] = useState<Point[]>([]);

  useEffect(() => {
    const [last, next] = [before.current, metrics.data];
    before.current = next ?? last;
    if (!last || !next || last === next) return;
    const of = (name: string, quantile: number) =>
      quantileBetween(last.histograms.get(name), next.histograms.get(name), quantile);
    const point = {
      at: currentTime() / 1_000,
      commit50: of('cloudai_raft_commit_seconds', 0.5),
      commit99: of('cloudai_raft_commit_seconds', 0.99),
      fsync99: of('cloudai_raft_fsync_seconds', 0.99),
    };
    setPoints((held) => [...held.slice(1 - POINTS_MAX), point]);
  }, [metrics.data]);

  ticks.tasks.value;
  const second = Math.floor(now.value / 1_000 / WAIT_STEP_SECONDS) * WAIT_STEP_SECONDS;
  return (
    <Panel title="Latency" aside={<span class="muted">of this master's log, and of tasks in the queue</span>}>
      <Failure error={metrics.error} what="Metrics cannot be read" />
      <Plot
        label="Latency of the log"
        height={110}
        times={points.map((point) => point.at)}
        format={seconds}
        series={[
          { name: 'commit p50', color: 'blue', values: points.map((point) => point.commit50) },
          { name: 'commit p99', color: 'violet', values: points.map((point) => point.commit99) },
          { name: 'sync p99', color: 'amber', values: points.map((point) => point.fsync99) },
        ]}
      />
      <Plot
        label="Time from queue to start"
        height={110}
        times={times(second, SPAN, WAIT_STEP_SECONDS)}
        format={seconds}
        series={[
          { name: 'queue to start p50', color: 'green', values: live.waits.series(second, SPAN, 0.5) },
          { name: 'p99', color: 'red', values: live.waits.series(second, SPAN, 0.99) },
        ]}
      />
    </Panel>
  );
}

async function readMetrics(signal: AbortSignal) {
  const response = await send('/metrics', { signal, headers: { accept: 'text/plain' } });
  return { body: parseMetrics(await response.text(), NAMES), staleMs: null };
}
