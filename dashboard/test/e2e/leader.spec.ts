// The leader dies while somebody watches, and then the master that has served the page.
import { expect, test } from '@playwright/test';
import { Cluster } from './cluster';
import { expectAccessible, noteFaults } from './watch';

test('a change of leader is seen as it happens, and a lost master is never taken for a fresh one', async ({
  page,
}) => {
  test.setTimeout(150_000);
  const cluster = await Cluster.start();
  try {
    const faults = noteFaults(page);
    const first = await cluster.leader();
    const [serving = 0, other = 0] = [1, 2, 3].filter((master) => master !== first);
    await page.goto(await cluster.page(serving));
    const pulse = page.getByTestId('pulse');
    await expect(pulse).toHaveText('live');
    const leader = page.locator('.tile').filter({ hasText: 'Leader' });
    await expect(leader).toContainText(`master ${first}`);

    cluster.kill(first);
    await expect(leader).toContainText(new RegExp(`master (${serving}|${other})`));
    await expect(page.getByText(`master ${first} cannot be reached`)).toBeVisible();
    await expect(page.getByText(/master [123] leads since term \d+/)).toBeVisible();
    await expect(page.getByLabel('History of leaders').last().getByRole('rowheader')).toHaveCount(2);
    await expect(pulse).toHaveText('live');
    await expectAccessible(page, 'the cluster page with alarms');

    await page.evaluate(() => {
      location.hash = '#/workers';
    });
    await expect(page.getByRole('rowheader', { name: 'worker-1' })).toBeVisible();
    cluster.kill(serving);
    await expect(pulse).toHaveText('disconnected');
    await expect(page.getByText(/Disconnected since \d\d:\d\d:\d\d/)).toBeVisible();
    await expect(page.getByText(/^as of \d\d:\d\d:\d\d, /).first()).toBeVisible();
    const link = page.getByRole('link', { name: `master ${other}` });
    await expect(link).toHaveAttribute('href', `${cluster.url(other)}/#/workers`);
    await expectAccessible(page, 'the workers page without its master');
    expect(faults).toEqual([]);

    // One of three masters is no majority: what it knows is shown, and that nobody leads.
    await page.goto(`${await cluster.page(other)}/#/cluster`);
    await expect(page.getByText('there is no leader')).toBeVisible();
    await expect(page.getByText(/docs\/lost-quorum.md/).first()).toBeVisible();
    await page.goto(`${await cluster.page(other)}/#/workers`);
    await expect(page.getByRole('rowheader', { name: 'worker-1' })).toBeVisible();
    await expect(page.getByText('this master does not hear a leader').first()).toBeVisible();
  } finally {
    await cluster.stop();
  }
});
