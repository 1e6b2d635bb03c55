// Every page and every button, as a master serves them to one operator.
import { expect, type Page, test } from '@playwright/test';
import { Cluster } from './cluster';
import { expectAccessible, giveReason, noteFaults } from './watch';

let cluster: Cluster;
let base: string;
let faults: string[];

test.beforeAll(async () => {
  cluster = await Cluster.start();
  base = await cluster.page(2);
  const every = { cron: '@every 1h', task: { command: ['true'] } };
  for (const name of ['hourly', 'doomed']) await cluster.api('POST', '/api/schedules', { name, ...every });
});

test.afterAll(() => cluster?.stop());

test.beforeEach(async ({ page }) => {
  faults = noteFaults(page);
});

test.afterEach(() => {
  expect(faults).toEqual([]);
});

async function open(page: Page, path: string): Promise<void> {
  await page.goto(`${base}/#/${path}`);
  await expect(page.getByTestId('pulse')).toHaveText('live');
}

const row = (page: Page, name: string) =>
  page.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) });

test('the cluster page shows who leads, the masters and the plots', async ({ page }) => {
  await open(page, '');
  const leader = await cluster.leader();
  await expect(row(page, String(leader)).first()).toContainText('leader');
  await expect(page.getByRole('table').first().getByRole('row')).toHaveCount(4);
  await expect(page.getByText('Nothing is wrong')).toBeVisible();
  await expect(page.getByRole('img', { name: 'Tasks per second' })).toBeVisible();
  // The log of a follower has a latency when something is written through it.
  await expect(async () => {
    await cluster.api('POST', '/api/tasks', { command: ['true'] }, 2);
    const plot = page.getByRole('img', { name: /Latency of the log, latest: commit p50 \d/ });
    await expect(plot).toBeVisible({ timeout: 2_000 });
  }).toPass({ timeout: 30_000 });
  await expect(page.getByLabel('History of leaders').first()).toContainText('leads now');
});

test('what a task does is seen without a reload', async ({ page }) => {
  await open(page, 'tasks');
  const id = await cluster.submit({ name: 'seen-live', command: ['sleep', '3'] });
  await expect(row(page, id)).toContainText('running');
  await expect(row(page, id)).toContainText('completed');
});

test('a worker is cordoned, drained and opened again, each for a reason that is in the trail', async ({
  page,
}) => {
  await open(page, 'workers');
  const worker = row(page, 'worker-1');
  await expect(worker).toContainText('active');
  await expect(worker.getByRole('img', { name: /^processor/ })).toBeVisible();

  await worker.getByRole('button', { name: 'Cordon worker-1' }).click();
  await giveReason(page, 'Cordon');
  await expect(worker).toContainText('cordoned');
  await worker.getByRole('button', { name: 'Drain worker-1' }).click();
  // All of the text is there, although the dialog belongs to a cell of a table.
  const isCut = page.getByRole('dialog').evaluate((dialog) => dialog.scrollWidth > dialog.clientWidth);
  expect(await isCut).toBe(false);
  await page.getByRole('dialog').getByLabel('Deadline').fill('5m');
  await giveReason(page, 'Drain');
  await expect(worker).toContainText(/drain(ing|ed)/);
  await worker.getByRole('button', { name: 'Uncordon worker-1' }).click();
  await giveReason(page, 'Uncordon');
  await expect(worker).toContainText('active');

  const trail = await cluster.api<{ records: { object: string; request_id: string }[] }>('GET', '/api/audit');
  const ids = trail.records
    .filter((each) => each.object === 'worker/worker-1')
    .map((each) => each.request_id);
  expect(ids.filter((id) => id.startsWith('a-test-of-the-dashboard.'))).toHaveLength(3);
});

test('workers that are not there are contacted on order', async ({ page }) => {
  await cluster.api('POST', '/api/workers', {
    worker_id: 'absent',
    address: '127.0.0.1:9',
    labels: { zone: 'b' },
  });
  await open(page, 'workers');
  await page.getByRole('button', { name: 'Reconnect absent' }).click();
  await giveReason(page, 'Reconnect');
  await expect(page.getByText('absent: unreachable.')).toBeVisible();
  await page.getByRole('button', { name: /Reconnect 1 inactive worker/ }).click();
  await giveReason(page, 'Reconnect');
  await expect(page.getByText('0 of 1 worker reached.')).toBeVisible();

  await page.getByLabel('Find').fill('zone=b');
  await expect(page.getByRole('rowheader')).toHaveText(['absent']);
  await page.getByLabel('Find').fill('');
  await page.getByRole('button', { name: /^inactive/ }).click();
  await expect(page.getByRole('rowheader')).toHaveText(['absent']);
});

test('the page of a worker shows its usage, its tasks and its history', async ({ page }) => {
  const id = await cluster.submit({ command: ['sleep', '60'], worker_id: 'worker-2' });
  await open(page, 'workers/worker-2');
  await expect(page.getByRole('img', { name: /Usage, latest: processor \d+ %/ })).toBeVisible();
  await expect(page.getByLabel('Tasks of this worker').getByRole('link', { name: id })).toBeVisible();
  await expect(page.getByLabel('History of this worker')).toContainText('connected');
  await cluster.api('DELETE', `/api/tasks/${id}`);
  await expect(page.getByText('None.')).toBeVisible();
});

test('a task is followed while it writes, and cancelled', async ({ page }) => {
  const loop = 'i=0; while true; do i=$((i+1)); echo "line $i"; sleep 0.5; done';
  const id = await cluster.submit({ name: 'writer', command: ['sh', '-c', loop] });
  await open(page, `tasks/${id}`);
  const log = page.getByLabel('Output of the task');
  await expect(log).toContainText('line 1\n');
  await expect(page.getByText('following', { exact: true })).toBeVisible();
  const seen = (await log.textContent())?.split('\n').length ?? 0;
  await expect(log).toContainText(`line ${seen + 3}\n`);

  await page.getByRole('button', { name: 'Cancel…' }).click();
  await giveReason(page, 'Cancel the task');
  await expect(page.getByRole('heading', { level: 1 }).locator('..')).toContainText('cancelled');
  await expect(page.getByText('complete', { exact: true })).toBeVisible();
});

test('a task that has failed shows its attempts, and is retried', async ({ page }) => {
  const id = await cluster.submit({ command: ['sh', '-c', 'echo oops >&2; exit 3'], max_attempts: 1 });
  await open(page, `tasks/${id}`);
  await expect(page.getByLabel('Attempts').first()).toContainText('failed');
  await expect(page.getByLabel('Output of the task')).toContainText('oops');
  await page.getByLabel('Stream').selectOption('stdout');
  await expect(page.getByLabel('Output of the task')).not.toContainText('oops');
  await page.getByRole('button', { name: 'Retry…' }).click();
  await giveReason(page, 'Retry');
  await expect(row(page, '2')).toContainText('failed');
});

test('a task that waits says why', async ({ page }) => {
  const id = await cluster.submit({ name: 'too-big', command: ['true'], resources: { gpu: 4 } });
  await open(page, `tasks/${id}`);
  await expect(page.getByLabel('Obstacles')).toContainText('too small');
  await expect(page.getByLabel('Obstacles')).toContainText('gpu');
  await open(page, 'tasks');
  await expect(page.getByLabel('Tasks that wait, by what they ask for')).toContainText('4 GPU');
});

test('a submission shows the faults that the server finds, each at its field, and then takes the task', async ({
  page,
}) => {
  await open(page, 'submit');
  await page.getByLabel('Command').fill("echo 'hello");
  await page.getByRole('button', { name: 'Submit' }).click();
  await expect(page.getByLabel('Command')).toHaveAccessibleDescription("a ' is not closed");

  await page.getByLabel('Command').fill("echo 'hello there'");
  await page.getByLabel('Priority').fill('700');
  await page.getByLabel('Longest run').fill('soon');
  await page.getByRole('button', { name: 'Submit' }).click();
  await expect(page.getByRole('alert')).toContainText('The task was not accepted');
  await expect(page.getByLabel('Priority')).toHaveAttribute('aria-invalid', 'true');
  await expect(page.getByLabel('Longest run')).toHaveAttribute('aria-invalid', 'true');
  await expect(page.getByLabel('Priority')).toBeFocused();

  await page.getByLabel('Priority').fill('70');
  await page.getByLabel('Longest run').fill('1m');
  await page.getByLabel('Labels').fill('team=x');
  await page.getByRole('button', { name: 'Submit' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/Tasks \/ t\d+/);
  await expect(page.getByLabel('Output of the task')).toContainText('hello there');
  await expect(page.getByText('team=x')).toBeVisible();
});

test('a submission may be JSON', async ({ page }) => {
  await open(page, 'submit');
  await page.getByRole('button', { name: 'JSON' }).click();
  await page.getByLabel('A task, or a list of tasks').fill('{"comand": ["true"]}');
  await page.getByRole('button', { name: 'Submit' }).click();
  await expect(page.getByText('unknown field `comand`').first()).toBeVisible();
  await page.getByLabel('A task, or a list of tasks').fill('[{"command": ["true"]}, {"command": ["true"]}]');
  await page.getByRole('button', { name: 'Submit' }).click();
  await expect(page.getByText('2 tasks are submitted.')).toBeVisible();
});

test('tasks are filtered, and all of a filter are cancelled by a job', async ({ page }) => {
  const batch = Array.from({ length: 60 }, (_, at) => ({
    name: `late-${at}`,
    command: ['true'],
    delay: '1h',
    labels: { team: 'late' },
  }));
  await cluster.api('POST', '/api/tasks', batch);
  await open(page, 'tasks');
  await expect(page.getByRole('button', { name: 'Cancel all of these…' })).toHaveCount(0);
  await page.getByLabel('Label', { exact: true }).fill('team=late');
  await page.getByRole('button', { name: 'Filter', exact: true }).click();
  await expect(page.getByText('50 tasks on this page')).toBeVisible();
  await page.getByRole('link', { name: 'Older' }).click();
  await expect(page.getByText('10 tasks on this page')).toBeVisible();
  await page.goBack();
  await expect(page.getByText('50 tasks on this page')).toBeVisible();
  await page.getByRole('button', { name: /^scheduled/ }).click();
  await expect(page.getByText('50 tasks on this page')).toBeVisible();

  await page.getByRole('button', { name: 'Cancel all of these…' }).click();
  await giveReason(page, 'Cancel them', 'cancel');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Jobs');
  const job = page.getByRole('row').filter({ hasText: 'label team=late' });
  await expect(job).toContainText('completed');
  await expect(job).toContainText('100 %');
  await expect(job.getByRole('cell', { name: '60', exact: true })).toBeVisible();
});

test('a schedule is paused, resumed, run and deleted', async ({ page }) => {
  await open(page, 'schedules');
  await expect(row(page, 'hourly')).toContainText('in ');
  await page.getByRole('button', { name: 'Pause hourly' }).click();
  await giveReason(page, 'Pause');
  await expect(row(page, 'hourly')).toContainText('paused');
  await page.getByRole('button', { name: 'Resume hourly' }).click();
  await giveReason(page, 'Resume');
  await expect(row(page, 'hourly')).toContainText('active');
  await page.getByRole('button', { name: 'Run now hourly' }).click();
  await giveReason(page, 'Run now');
  await expect(row(page, 'hourly').getByRole('link', { name: /^t\d+$/ })).toBeVisible();
  await page.getByRole('button', { name: 'Delete doomed' }).click();
  await giveReason(page, 'Delete', 'doomed');
  await expect(row(page, 'doomed')).toHaveCount(0);

  await page.getByRole('link', { name: 'hourly' }).click();
  await expect(page.getByLabel('Latest runs').first()).toContainText('started');
  await expect(page.locator('section').filter({ hasText: 'Next runs' }).getByRole('listitem')).toHaveCount(5);
});

test('an order that is refused says what the server has said', async ({ page }) => {
  const id = await cluster.submit({ command: ['sleep', '60'] });
  await open(page, `tasks/${id}`);
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.route('**/api/tasks/*', (route) =>
    route.request().method() === 'DELETE'
      ? route.continue({ url: route.request().url().replace(id, 't999999') })
      : route.continue(),
  );
  await page.getByLabel('Reason').fill('a typo');
  await page.getByRole('button', { name: 'Cancel the task' }).click();
  await expect(page.getByRole('dialog').getByRole('alert')).toContainText('t999999');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Cancel…' })).toBeFocused();
  await cluster.api('DELETE', `/api/tasks/${id}`);
});

test('the keyboard is enough', async ({ page }) => {
  await open(page, 'cluster');
  await page.keyboard.press('Tab');
  await expect(page.getByRole('button', { name: 'To the content' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();
  await page.getByRole('link', { name: 'Workers', exact: true }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Workers');
  await page.getByRole('button', { name: 'Cordon worker-1' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByLabel('Reason')).toBeFocused();
});

for (const scheme of ['light', 'dark'] as const) {
  test(`all pages are accessible in ${scheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    const id = await cluster.submit({ command: ['sh', '-c', 'exit 1'], max_attempts: 1, labels: { a: 'b' } });
    for (const path of [
      'cluster',
      'workers',
      'workers/worker-1',
      'tasks',
      `tasks/${id}`,
      'submit',
      'schedules',
      'schedules/hourly',
      'jobs',
    ]) {
      await open(page, path);
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
      await page.waitForLoadState('load');
      await expect(page.getByText('loading…')).toHaveCount(0);
      await expectAccessible(page, `${path} in ${scheme}`);
    }
    await open(page, 'workers');
    await page.getByRole('button', { name: 'Drain worker-1' }).click();
    await expect(page.getByRole('dialog')).toBeVisible();
    await expectAccessible(page, `a dialog in ${scheme}`);
  });
}

test('the switch overrides the system, and is kept', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await open(page, 'cluster');
  const html = page.locator('html');
  await expect(html).toHaveAttribute('data-theme', 'light');
  await page.getByRole('button', { name: /^Colors/ }).click();
  await page.getByRole('button', { name: /^Colors: light/ }).click();
  await expect(html).toHaveAttribute('data-theme', 'dark');
  await page.reload();
  await expect(html).toHaveAttribute('data-theme', 'dark');
});

test('a phone shows every page without scrolling sideways', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of ['cluster', 'workers', 'tasks', 'tasks/t1', 'submit', 'schedules', 'jobs']) {
    await open(page, path);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width, path).toBeLessThanOrEqual(360);
  }
});
