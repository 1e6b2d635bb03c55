import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

const DIST = new URL('../../dist/', import.meta.url);
const COMPRESSED_MAX = 200 * 1_024;

/** All files of the build by their paths. */
function built(): Map<string, Buffer> {
  const names = ['index.html', ...readdirSync(new URL('assets/', DIST)).map((name) => `assets/${name}`)];
  return new Map(names.map((name) => [name, readFileSync(new URL(name, DIST))]));
}

const text = (name: string) => built().get(name)?.toString() ?? '';

describe('the build', () => {
  it('is small, all of it together', () => {
    const sizes = [...built().values()].map((file) => gzipSync(file).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(COMPRESSED_MAX);
  });

  it('needs no inline script or style, and nothing of another origin', () => {
    const page = text('index.html');
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=")[^>]*>|<style|\sstyle=|\son\w+=/i);
    const addresses = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1] ?? '');
    expect(addresses.length).toBeGreaterThan(2);
    for (const address of addresses) expect(built().has(address.slice(1))).toBe(true);
    for (const name of built().keys()) {
      if (name.endsWith('.css')) expect(text(name)).not.toMatch(/url\(|@import/);
    }
  });

  it('evaluates no text as a program', () => {
    const scripts = [...built().keys()].filter((name) => name.endsWith('.js'));
    for (const name of scripts) expect(text(name)).not.toMatch(/\beval\(|new Function\(/);
  });
});
