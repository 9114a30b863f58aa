// A gateway, an upstream and a browser for the tests of the console.
//
// The gateway is the built binary on free ports; the upstream answers what a test tells it to; the browser is Debian's.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BINARY = process.env.AI_TRACING_BIN ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'debug/ai-tracing');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Asks again and again, for half a minute at most, until the answer is no longer false; the answer. */
export async function until(condition, what) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
  }
}

/** An LLM that answers each call as the call's `x-case` header was told to. */
export async function startUpstream() {
  const cases = new Map();
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      // It stands for Langfuse as well, which takes everything.
      if (request.url.startsWith('/api/public/')) return response.writeHead(200).end('{}');
      const sent = Buffer.concat(pieces).toString();
      const body = sent.startsWith('{') ? JSON.parse(sent) : {};
      const reply = cases.get(request.headers['x-case']) ?? answer('Hello.');
      const { status = 200, type = 'application/json', text, headers = {}, write } = reply(body, request);
      response.writeHead(status, { 'content-type': type, ...headers });
      // An answer that takes its time is written by the test.
      if (write) return write(response);
      response.end(text);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cases,
    stop: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}

/** A chat completion with this message. */
export function answer(content, { message = {}, usage = {}, finish = 'stop' } = {}) {
  return (body) => ({
    text: JSON.stringify({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      model: body.model,
      choices: [{ index: 0, finish_reason: finish, message: { role: 'assistant', content, ...message } }],
      usage: { prompt_tokens: 120, completion_tokens: 40, total_tokens: 160, ...usage },
    }),
  });
}

/** The same as a stream, a chunk a word. */
export function streamed(content, usage = {}) {
  return (body) => {
    const chunk = (choices, more = {}) => `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model: body.model, choices, ...more })}\n\n`;
    const words = content.split(/(?<=\s)/).map((word) => chunk([{ index: 0, delta: { content: word } }]));
    const end = chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    const sum = chunk([], { usage: { prompt_tokens: 120, completion_tokens: 40, total_tokens: 160, ...usage } });
    return { type: 'text/event-stream', text: `${words.join('')}${end}${sum}data: [DONE]\n\n` };
  };
}

/** A failure in OpenAI's shape. */
export function failure(status, message, type = 'server_error') {
  return () => ({ status, text: JSON.stringify({ error: { message, type, code: type } }) });
}

/** Ends with the exit code and what was written, for starts that are refused. */
export function refused(args) {
  const data = mkdtempSync(path.join(tmpdir(), 'ai-tracing-console-'));
  const child = spawn(BINARY, ['start', '--data-dir', data, '--proxy-listen', '127.0.0.1:0', '--admin-listen', 'off', '--status-listen', 'off', ...args], { env: environment() });
  let said = '';
  child.stderr.on('data', (piece) => (said += piece));
  return new Promise((resolve) => child.on('close', (code) => {
    rmSync(data, { recursive: true, force: true });
    resolve({ code, said });
  }));
}

function environment(more = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(AI_TRACING_|LANGFUSE_)/.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

/** A gateway in front of `upstream`, with a declarative configuration where one is given. */
export async function startGateway(upstream, { args = [], env = {}, config } = {}) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not built: cargo build --bin ai-tracing`);
  const data = mkdtempSync(path.join(tmpdir(), 'ai-tracing-console-'));
  const listen = ['--proxy-listen', '127.0.0.1:0', '--admin-listen', 'off', '--status-listen', 'off'];
  const console = args.includes('--console-listen') ? [] : ['--console-listen', '127.0.0.1:0'];
  const file = path.join(data, 'kong.json');
  if (config) writeFileSync(file, JSON.stringify(config));
  const what = config ? ['--config', file] : ['--upstream', upstream.url];
  const child = spawn(BINARY, ['start', ...what, '--data-dir', data, ...listen, ...console, ...args], { env: environment(env) });
  let log = '';
  child.stderr.on('data', (piece) => (log += piece));
  const ended = new Promise((resolve) => child.on('close', resolve));
  const ready = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const record = JSON.parse(line);
      if (record.event === 'ready') resolve(record);
    });
    ended.then((code) => reject(new Error(`the gateway ended with ${code}\n${log}`)));
  });
  const url = `http://${ready.console.replace('0.0.0.0', '127.0.0.1')}`;
  return {
    url,
    proxy: `http://${ready.proxy[0]}`,
    data,
    log: () => log,
    /** Sends a chat; `reply` is what the upstream answers. */
    async send({ text = 'Hi', messages, model = 'gpt-4o', headers = {}, reply, stream = false, ...more } = {}) {
      const id = `case-${upstream.cases.size}`;
      upstream.cases.set(id, reply ?? (stream ? streamed('Hello.') : answer('Hello.')));
      const response = await fetch(`http://${ready.proxy[0]}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-case': id, ...headers },
        body: JSON.stringify({ model, stream, messages: messages ?? [{ role: 'user', content: text }], ...more }),
      });
      return { status: response.status, text: await response.text() };
    },
    /** Waits until the console's API knows this many calls. */
    stored: (count) => until(async () => {
      const page = await (await fetch(`${url}/api/v1/calls?limit=500`)).json();
      return page.calls.length >= count && page.calls;
    }, `${count} calls in the store`),
    async stop() {
      child.kill('SIGTERM');
      const code = await ended;
      rmSync(data, { recursive: true, force: true });
      if (code !== 0 || log.includes('panicked')) throw new Error(`the gateway ended with ${code}\n${log}`);
    },
  };
}

/** A browser; each of its pages is watched: what it asks for, and what goes wrong in it. */
export async function startBrowser() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  return {
    async page(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 860 }, reducedMotion: 'reduce', ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      page.asked = [];
      page.wrong = [];
      page.on('request', (request) => page.asked.push(request.url()));
      page.on('pageerror', (error) => page.wrong.push(`error: ${error.message}`));
      page.on('dialog', (dialog) => {
        page.wrong.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
      });
      page.on('console', (message) => {
        // The browser's own note about an answer of 4xx or 5xx, which some tests are about.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) page.wrong.push(`console: ${message.text()}`);
      });
      return page;
    },
    stop: () => browser.close(),
  };
}

/** Ends what a file's tests have started, as far as they came. */
export async function stop(...started) {
  for (const one of started) await one?.stop();
}

/** Rows of the list, as the text of their cells. */
export function rows(page) {
  return page.locator('.body [role=row]');
}
