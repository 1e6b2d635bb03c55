// Builds the page that the masters serve. What is built holds no URL of another origin and no inline
// script or style, because a master answers with `Content-Security-Policy: default-src 'self'`.
import { defineConfig } from 'vitest/config';

/** Master to which the development server passes requests on. */
const master = process.env.CLOUDAI_MASTER ?? 'http://127.0.0.1:7101';
const toMaster = { target: master, secure: false };
const proxy = { '/api': toMaster, '/metrics': toMaster, '/readyz': toMaster };

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    target: 'es2022',
    outDir: 'dist',
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { host: '127.0.0.1', proxy },
  preview: { host: '127.0.0.1', proxy },
  test: { include: ['test/unit/**/*.test.ts'], environment: 'node' },
});
