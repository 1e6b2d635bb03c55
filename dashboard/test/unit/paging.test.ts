import { describe, expect, it, vi } from 'vitest';
import type { Task, TaskPage } from '../../src/api/types';
import {
  fillPage,
  filterOf,
  isEmpty,
  paramsOf,
  REQUESTS_MAX,
  selectionOf,
  slicePage,
} from '../../src/paging';

const task = (id: number) => ({ task_id: `t${id}` }) as Task;

/** Answers with the given pages, one after the other; each cursor is the number of the next one. */
function pagesOf(sizes: number[]) {
  let next = 0;
  return vi.fn(async (cursor: string | null, limit: number): Promise<TaskPage> => {
    const at = cursor === null ? 0 : Number(cursor);
    const size = Math.min(sizes[at] ?? 0, limit);
    const tasks = Array.from({ length: size }, () => task(next++));
    return { tasks, next_cursor: at + 1 < sizes.length ? String(at + 1) : null };
  });
}

describe('a page of tasks', () => {
  it('is filled by further requests where a search finds few', async () => {
    const fetchPage = pagesOf([1, 0, 2, 5]);
    const page = await fillPage(fetchPage, null, 5);
    expect(page.tasks.map((each) => each.task_id)).toEqual(['t0', 't1', 't2', 't3', 't4']);
    expect(fetchPage.mock.calls).toEqual([
      [null, 5],
      ['1', 4],
      ['2', 4],
      ['3', 2],
    ]);
    expect(page).toMatchObject({ nextCursor: null, isPartial: false });
  });

  it('that is full names the next one', async () => {
    const page = await fillPage(pagesOf([5, 5]), null, 5);
    expect(page).toMatchObject({ nextCursor: '1', isPartial: false });
  });

  it('says so when the search has not come to an end', async () => {
    const fetchPage = pagesOf(new Array(100).fill(0));
    const page = await fillPage(fetchPage, null, 5);
    expect(fetchPage).toHaveBeenCalledTimes(REQUESTS_MAX);
    expect(page).toEqual({ tasks: [], nextCursor: String(REQUESTS_MAX), isPartial: true });
  });
});

describe('a filter', () => {
  it('is in the address', () => {
    const query = 'state=failed%2Caborted&worker=w1&label=team%3Dx&name_prefix=a&priority=7';
    const filter = filterOf(new URLSearchParams(query));
    expect(filter).toEqual({
      states: ['failed', 'aborted'],
      worker: 'w1',
      label: 'team=x',
      namePrefix: 'a',
      priority: '7',
    });
    expect(paramsOf(filter).toString()).toBe(query);
    expect(selectionOf(filter)).toEqual({
      states: ['failed', 'aborted'],
      labels: ['team=x'],
      worker: 'w1',
      name_prefix: 'a',
      priority: 7,
    });
  });

  it('may be empty', () => {
    const filter = filterOf(new URLSearchParams('cursor=4'));
    expect(isEmpty(filter)).toBe(true);
    expect(selectionOf(filter)).toEqual({ all: true });
  });
});

describe('a list in parts', () => {
  it('has no page before the first or after the last', () => {
    const all = [1, 2, 3, 4, 5];
    expect(slicePage(all, 2, 2)).toEqual({ rows: [3, 4], page: 2, pages: 3 });
    expect(slicePage(all, 99, 2)).toEqual({ rows: [5], page: 3, pages: 3 });
    expect(slicePage(all, Number.NaN, 2)).toEqual({ rows: [1, 2], page: 1, pages: 3 });
    expect(slicePage([], 1, 2)).toEqual({ rows: [], page: 1, pages: 1 });
  });
});
