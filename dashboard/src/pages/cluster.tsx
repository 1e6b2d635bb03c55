// Who leads, how the masters are, what is wrong, and how much is going on.
import { useState } from 'preact/hooks';
import { order, read } from '../api/client';
import type { ClusterStatus, LeaderTerm } from '../api/types';
import { ago, bytes, clock, count, span } from '../format';
import { now } from '../live/clock';
import { type Resource, useResource } from '../live/resource';
import { live, ticks } from '../live/store';
import { hashOf } from '../router';
import { refusalFor } from '../session';
import { Empty, Failure, Freshness, Panel, State, Table, Tile, Time } from '../ui/basics';
import { Confirm } from '../ui/dialog';
import { say } from '../ui/toast';
import { alarmsOf } from './alarms';
import { LatencyPlots, ThroughputPlot } from './cluster-plots';

export const STATUS_EVERY_MS = 2_000;
/** Terms that are listed: the newest ones tell how calm it is. */
const TERMS_SHOWN = 12;
const FEED_SHOWN = 15;

export function ClusterPage({ status }: { status: Resource<ClusterStatus> }) {
  const leaders = useResource<LeaderTerm[]>('leaders', (signal) => read('/api/cluster/leaders', signal), {
    everyMs: 15_000,
    on: [ticks.cluster],
  });
  const cluster = status.data;
  return (
    <>
      <div class="page-head">
        <h1>Cluster</h1>
        <Freshness of={status} everyMs={STATUS_EVERY_MS} />
      </div>
      <Failure error={status.error} what="The state of the cluster cannot be read" />
      {cluster && (
        <>
          <Summary cluster={cluster} terms={leaders.data} />
          <Alarms cluster={cluster} reload={status.reload} />
          <Members cluster={cluster} />
        </>
      )}
      <div class="columns">
        <ThroughputPlot />
        <LatencyPlots />
      </div>
      <div class="columns">
        <Leaders leaders={leaders} />
        <Feed />
      </div>
    </>
  );
}

function Summary({ cluster, terms }: { cluster: ClusterStatus; terms: LeaderTerm[] | undefined }) {
  const tasks = Object.values(cluster.tasks).reduce((sum, each) => sum + each, 0);
  const workers = Object.entries(cluster.workers).filter(([state]) => state !== 'departed');
  const all = workers.reduce((sum, [, each]) => sum + each, 0);
  const active = cluster.workers.active ?? 0;
  const current = terms?.find((term) => term.term === cluster.term);
  const since = current
    ? ` for ${span(Math.max(0, Math.floor((now.value - Date.parse(current.since)) / 1_000) * 1_000))}`
    : '';
  return (
    <div class="tiles">
      <Tile
        name="Leader"
        tone={cluster.leader_id === null ? 'bad' : 'good'}
        value={cluster.leader_id === null ? 'none' : `master ${cluster.leader_id}`}
      />
      <Tile
        name="Term"
        value={
          <>
            {count(cluster.term)}
            <small class="muted">{since}</small>
          </>
        }
      />
      <Tile
        name="Masters"
        tone={cluster.members.every((member) => member.reachable) ? 'good' : 'warn'}
        value={`${cluster.members.filter((member) => member.reachable).length} of ${cluster.members.length}`}
      />
      <Tile
        name="Active workers"
        tone={active === all ? 'good' : 'warn'}
        value={`${count(active)} of ${count(all)}`}
        href={hashOf(['workers'])}
      />
      <Tile name="Live tasks" value={count(tasks)} href={hashOf(['tasks'])} />
      <Tile name="Feature level" value={count(cluster.level)} />
    </div>
  );
}

function Alarms({ cluster, reload }: { cluster: ClusterStatus; reload: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const alarms = alarmsOf(cluster);
  if (alarms.length === 0 && !cluster.autopilot) {
    return (
      <p class="notice good">Nothing is wrong: all masters answer, and a majority agrees on the leader.</p>
    );
  }
  return (
    <Panel title="Alarms" class="alarms">
      <ul>
        {alarms.map((alarm) => (
          <li key={alarm.text} class={`alarm edge-${alarm.severity}`}>
            <strong>{alarm.text}</strong>
            <span>{alarm.remedy}</span>
            {alarm.action === 'acknowledge' && (
              <button
                type="button"
                disabled={refusalFor('operator') !== null}
                title={refusalFor('operator') ?? ''}
                onClick={() => setAsking(true)}
              >
                Acknowledge…
              </button>
            )}
          </li>
        ))}
        {cluster.autopilot && (
          <li class="alarm edge-info">
            <strong>Next change of the masters</strong>
            <span>{cluster.autopilot}</span>
          </li>
        )}
      </ul>
      {isAsking && (
        <Confirm
          title="Acknowledge the mass loss"
          verb="Acknowledge"
          onClose={() => setAsking(false)}
          act={async (reason) => {
            await order('POST', '/api/cluster/mass-loss/acknowledge', { reason });
            say('The mass loss is acknowledged.');
            reload();
          }}
        >
          <p>From here on, tasks of the lost workers are queued again at once.</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Members({ cluster }: { cluster: ClusterStatus }) {
  const members = [...cluster.members].sort((a, b) => a.id - b.id);
  return (
    <Panel title="Masters" aside={<span class="muted">as master {cluster.node_id} sees them</span>}>
      <Table
        label="Masters"
        head={[
          'Master',
          'Role',
          'Health',
          'Lag',
          'Applied',
          'Snapshot',
          'Clock',
          'Free disk',
          'Version',
          'Address',
        ]}
      >
        {members.map((member) => (
          <tr key={member.id}>
            <th scope="row">{member.id}</th>
            <td>
              <State name={member.reachable ? member.role : 'unknown'} />
              {!member.voter && <small class="muted"> no vote</small>}
            </td>
            <td>{member.reachable ? 'answers' : <span class="ink-red">cannot be reached</span>}</td>
            <td class={`num ${(member.lag ?? 0) > 10_000 ? 'ink-red' : ''}`}>{count(member.lag)}</td>
            <td class="num">{count(member.applied_index)}</td>
            <td class="num">{count(member.snapshot_index)}</td>
            <td class="num">
              {member.clock_offset_ms === null
                ? '–'
                : `${member.clock_offset_ms > 0 ? '+' : ''}${member.clock_offset_ms} ms`}
            </td>
            <td class="num">{bytes(member.free_bytes)}</td>
            <td>{member.version ?? '–'}</td>
            <td>
              <code>{member.http_address ?? member.address}</code>
            </td>
          </tr>
        ))}
      </Table>
    </Panel>
  );
}

function Leaders({ leaders }: { leaders: Resource<LeaderTerm[]> }) {
  const terms = leaders.data ?? [];
  return (
    <Panel title="History of leaders" aside={<Freshness of={leaders} everyMs={15_000} />}>
      <Failure error={leaders.error} />
      {terms.length === 0 ? (
        <Empty>No leader was elected yet.</Empty>
      ) : (
        <Table label="History of leaders" head={['Term', 'Leader', 'Since', 'For', 'Cause']}>
          {terms.slice(0, TERMS_SHOWN).map((term) => (
            <tr key={term.term}>
              <th scope="row" class="num">
                {term.term}
              </th>
              <td>master {term.leader_id}</td>
              <td>
                <Time at={term.since} />
              </td>
              <td>{forHowLong(term)}</td>
              <td>{term.cause}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function forHowLong(term: LeaderTerm): string {
  const until = term.until === null ? now.value : Date.parse(term.until);
  const whole = Math.max(0, Math.floor((until - Date.parse(term.since)) / 1_000) * 1_000);
  return term.until === null ? `${span(whole)}, leads now` : span(whole);
}

function Feed() {
  ticks.feed.value;
  return (
    <Panel title="Events" aside={<span class="muted">since this page was opened</span>}>
      {live.feed.length === 0 ? (
        <Empty>Changes of leaders, members, workers and settings appear here.</Empty>
      ) : (
        <ul class="feed">
          {live.feed.slice(0, FEED_SHOWN).map((notable) => (
            <li key={notable.key} class={`edge-${notable.kind}`}>
              <time dateTime={notable.timestamp ?? ''} title={ago(notable.timestamp, now.value)}>
                {clock(notable.timestamp, now.value)}
              </time>
              {notable.workerId ? (
                <a href={hashOf(['workers', notable.workerId])}>{notable.text}</a>
              ) : (
                <span>{notable.text}</span>
              )}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
