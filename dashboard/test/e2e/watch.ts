// What no page may do: fail in its own code, or be refused by the policy of the masters.
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

/** Notes errors of the page's code and of its policy; answers that a test provokes are none. */
export function noteFaults(page: Page): string[] {
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) faults.push(text);
  });
  return faults;
}

/** Asserts that axe finds nothing serious, as the page is shown now. */
export async function expectAccessible(page: Page, what: string): Promise<void> {
  const found = await new AxeBuilder({ page }).analyze();
  const serious = found.violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
  const told = serious.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`);
  expect(told, `${what} is accessible`).toEqual([]);
}

export async function giveReason(page: Page, verb: string, word?: string): Promise<void> {
  const dialog = page.getByRole('dialog');
  const button = dialog.getByRole('button', { name: verb, exact: true });
  await expect(button).toBeDisabled();
  await dialog.getByLabel('Reason').fill('a test of the dashboard');
  if (word) {
    await expect(button).toBeDisabled();
    await dialog.getByLabel(/to confirm/).fill(word);
  }
  await button.click();
  await expect(dialog).toHaveCount(0);
}
