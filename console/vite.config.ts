import { defineConfig } from 'vite';

// The built files keep their names: the gateway has them in its binary and knows them by name.
export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2023',
    modulePreload: false,
    // Everything is one page: nothing is gained by loading it in pieces.
    rolldownOptions: {
      output: {
        entryFileNames: 'assets/app.js',
        assetFileNames: 'assets/app[extname]',
        codeSplitting: false,
      },
    },
    assetsInlineLimit: 0,
  },
  // `npm run dev` beside a running gateway.
  server: { proxy: { '/api': { target: 'http://127.0.0.1:8002', headers: { origin: 'http://127.0.0.1:8002' } } } },
});
