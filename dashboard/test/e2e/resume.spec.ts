// A stream of events that breaks, as behind a load balancer, goes on where it was.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from '@playwright/test';
import { Cluster } from './cluster';
import { serveDist } from './front';

/** Ends streams, and refuses them as long as it is cut. */
class Cut {
  readonly resumedFrom: string[] = [];
  private readonly open = new Set<ServerResponse>();
  private isCut = false;

  take(incoming: IncomingMessage, answer: ServerResponse): boolean {
    if (incoming.url?.startsWith('/api/events') !== true) return false;
    if (this.isCut) {
      answer.destroy();
      return true;
    }
    this.resumedFrom.push(String(incoming.headers['last-event-id'] ?? ''));
    this.open.add(answer);
    return false;
  }

  cut(): void {
    this.isCut = true;
    for (const answer of this.open) answer.destroy();
    this.open.clear();
  }

  mend(): void {
    this.isCut = false;
  }
}

test('what happened during a break is told after it, and nothing twice', async ({ page }) => {
  const cluster = await Cluster.start({ masters: 1, workers: 1 });
  const cut = new Cut();
  const front = await serveDist(cluster.url(1), (incoming, answer) => cut.take(incoming, answer));
  try {
    await page.goto(`${front.url}/#/cluster`);
    const pulse = page.getByTestId('pulse');
    const told = (name: string) => page.locator('.feed li').filter({ hasText: `worker ${name} is` });
    const register = (worker_id: string) =>
      cluster.api('POST', '/api/workers', { worker_id, address: '127.0.0.1:9' });
    await expect(pulse).toHaveText('live');
    await register('before');
    await expect(told('before')).toHaveCount(1);

    cut.cut();
    await expect(pulse).toHaveText('disconnected');
    await expect(page.getByText(/Disconnected since/)).toBeVisible();
    await register('during');
    await expect(told('during')).toHaveCount(0);
    cut.mend();
    await expect(pulse).toHaveText('live');
    await expect(told('during')).toHaveCount(1);
    await expect(told('before')).toHaveCount(1);
    await register('after');
    await expect(told('after')).toHaveCount(1);

    expect(cut.resumedFrom[0]).toBe('');
    expect(Number(cut.resumedFrom[1])).toBeGreaterThan(0);
    expect(cut.resumedFrom).toHaveLength(2);
  } finally {
    await front.close();
    await cluster.stop();
  }
});
