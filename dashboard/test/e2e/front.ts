// Serves the build before a master, with the headers with which masters serve it. What is not a file of it
// goes to the master, or to whoever takes it before.
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { AddressInfo } from 'node:net';

export const DIST = new URL('../../dist/', import.meta.url);
const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
};

/** As in `master/src/api/static_pages.rs`. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface Front {
  url: string;
  close: () => Promise<void>;
}

/** Returns true if it has taken the request. */
export type Taker = (incoming: IncomingMessage, answer: ServerResponse) => boolean;

export async function serveDist(master: string, take: Taker = () => false): Promise<Front> {
  const server = createServer(async (incoming, answer) => {
    const path = (incoming.url ?? '/').split('?')[0] ?? '/';
    if (take(incoming, answer)) return;
    if (path !== '/' && !path.startsWith('/assets/')) return pass(master, incoming, answer);
    const name = path === '/' ? 'index.html' : path.slice(1);
    const file = await readFile(new URL(name, DIST)).catch(() => null);
    const type = TYPES[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
    answer.writeHead(file ? 200 : 404, {
      'content-type': type,
      'content-security-policy': POLICY,
    });
    answer.end(file ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, close };
}

function pass(master: string, incoming: IncomingMessage, answer: ServerResponse): void {
  // The host stays the page's own, which the master compares with the origin.
  const { method = 'GET', url = '/', headers } = incoming;
  const to = new URL(url, master);
  const call = to.protocol === 'https:' ? secureRequest : request;
  const asked = call(to, { method, headers, rejectUnauthorized: false }, (from) => {
    answer.writeHead(from.statusCode ?? 502, from.headers);
    from.pipe(answer);
    from.on('error', () => answer.destroy());
  });
  asked.on('error', () => answer.destroy());
  answer.on('close', () => asked.destroy());
  incoming.pipe(asked);
}
