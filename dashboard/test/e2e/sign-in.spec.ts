// A cluster with certificates, which lets nobody look who has no token.
import { spawnSync } from 'node:child_process';
import { expect, test } from '@playwright/test';
import { Cluster, program } from './cluster';
import { expectAccessible } from './watch';

test.use({ ignoreHTTPSErrors: true });

function newToken(cluster: Cluster, role: string): string {
  const exports = [...cluster.said.matchAll(/export (CLUSTERCTL_\w+)=(\S+)/g)];
  const env = { ...process.env, ...Object.fromEntries(exports.map((match) => [match[1], match[2]])) };
  const made = spawnSync(program('clusterctl'), ['user', 'token', 'create', `ada-${role}`, '--role', role], {
    env,
    encoding: 'utf8',
  });
  const token = /clu_\S+/.exec(made.stdout)?.[0];
  if (!token) throw new Error(`no token: ${made.stdout}${made.stderr}`);
  return token;
}

test('a token lets in whom the cluster knows, for this tab only', async ({ page, context }) => {
  // The certificates of a local cluster are its own.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const cluster = await Cluster.start({ masters: 1, workers: 1, secured: true });
  try {
    const base = await cluster.page(1);
    await page.goto(`${base}/#/workers`);
    const dialog = page.getByRole('dialog', { name: 'Sign in' });
    await expect(dialog).toContainText('anonymous callers may not look at the cluster');
    await expectAccessible(page, 'the dialog of signing in');

    await dialog.getByLabel('Token').fill('clu_wrong_token');
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await expect(dialog.getByRole('alert')).not.toContainText('anonymous');

    await dialog.getByLabel('Token').fill(newToken(cluster, 'viewer'));
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await expect(dialog).toHaveCount(0);
    await expect(page.getByText('user:ada-viewer')).toBeVisible();
    await expect(page.getByTestId('pulse')).toHaveText('live');
    const drain = page.getByRole('button', { name: 'Drain worker-1' });
    await expect(drain).toBeDisabled();
    await expect(drain).toHaveAttribute('title', 'needs the role operator; you are viewer');
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain('clu_');

    await page.reload();
    await expect(page.getByTestId('pulse')).toHaveText('live');
    const other = await context.newPage();
    await other.goto(base);
    await expect(other.getByRole('dialog', { name: 'Sign in' })).toBeVisible();
    await other.close();

    await page.getByRole('button', { name: 'Sign out' }).click();
    await expect(dialog).toContainText('anonymous callers may not look at the cluster');
  } finally {
    await cluster.stop();
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }
});
