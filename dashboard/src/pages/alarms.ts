// What is wrong with the cluster, and what an operator does about it.
import type { ClusterStatus } from '../api/types';
import { count, plural, span } from '../format';

export interface Alarm {
  severity: 'bad' | 'warn';
  /** As the server says it. */
  text: string;
  remedy: string;
  /** What the page itself can do. */
  action?: 'acknowledge';
}

/** Remedies of the problems that masters name, by what their sentence says. */
const REMEDIES: [RegExp, string][] = [
  [
    /there is no leader|no quorum/,
    'Nothing can be ordered until a majority of the voters answers. Start the masters that are down. If their disks ' +
      'are lost for good: docs/lost-quorum.md.',
  ],
  [
    /cannot be reached/,
    'See whether its process runs and its address answers. If it is gone for good, replace it: clusterctl member replace.',
  ],
  [
    /entries behind/,
    'It catches up by itself. If it does not, look at its disk and its network, then at its log.',
  ],
  [
    /limits\.disk_free_min/,
    'Make room on that disk: below this bound the cluster takes no more submissions.',
  ],
  [/clock/, 'Set the clock of that machine, by NTP.'],
];

export function remedyOf(problem: string): string {
  return REMEDIES.find(([pattern]) => pattern.test(problem))?.[1] ?? 'The log of the masters says more.';
}

/** Offset of a clock that is worth telling before it is a problem. */
const CLOCK_OFFSET_MS = 500;

export function alarmsOf(status: ClusterStatus): Alarm[] {
  const alarms: Alarm[] = status.problems.map((text) => ({
    severity: /no leader|no quorum|disk/.test(text) ? 'bad' : 'warn',
    text,
    remedy: remedyOf(text),
  }));
  if (status.mass_loss && status.mass_loss.acknowledged_at === null) {
    const { lost, of } = status.mass_loss;
    alarms.unshift({
      severity: 'bad',
      text: `${count(lost)} of ${count(of)} workers fell silent at once`,
      remedy:
        'See whether the network or the power is the cause. Until somebody acknowledges it, their tasks are queued again slowly.',
      action: 'acknowledge',
    });
  }
  if (status.orphans > 0) {
    alarms.push({
      severity: 'warn',
      text: `${plural(status.orphans, 'result')} came in of attempts that this cluster does not know`,
      remedy: 'They are from before a restoration: clusterctl orphan list.',
    });
  }
  for (const [state, remedy] of [
    ['unreachable', 'They call, but cannot be called: look at their addresses and at firewalls.'],
    ['unfit', 'They cannot start programs: their pages say why.'],
  ] as const) {
    const workers = status.workers[state] ?? 0;
    if (workers > 0)
      alarms.push({
        severity: 'warn',
        text: `${plural(workers, 'worker')} ${workers === 1 ? 'is' : 'are'} ${state}`,
        remedy,
      });
  }
  for (const member of status.members) {
    const settings = member.differing_settings ?? [];
    if (settings.length > 0) {
      alarms.push({
        severity: 'warn',
        text: `the configuration of master ${member.id} differs from the settings of the cluster: ${settings.join(', ')}`,
        remedy:
          'The settings of the cluster count. Change them by clusterctl config set, or the file of that master.',
      });
    }
    const offset = member.clock_offset_ms ?? 0;
    const isTold = status.problems.some((problem) => problem.includes(`clock of master ${member.id} `));
    if (Math.abs(offset) >= CLOCK_OFFSET_MS && !isTold) {
      const side = offset > 0 ? 'ahead of' : 'behind';
      alarms.push({
        severity: 'warn',
        text: `the clock of master ${member.id} is ${span(Math.abs(offset))} ${side} the others`,
        remedy: remedyOf('clock'),
      });
    }
  }
  return alarms;
}
