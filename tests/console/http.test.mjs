// The HTTP exchange of a call: what is kept of it, what is hidden, and the command that sends it again.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ROOT, answer, startBrowser, startGateway, startUpstream, stop, streamed } from './harness.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const IMAGES = process.env.CONSOLE_IMAGES ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'console-images');
/** A route for each configuration of the plugin. */
const PLUGINS = {
  usual: {},
  none: { capture_http: 'none' },
  full: { capture_http: 'full' },
  private: { capture_http: 'full', capture_content: 'metadata_only' },
  redacting: { capture_http: 'full', redact_builtin: ['email'] },
};

let upstream;
let gateway;
let browser;
let sent = 0;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
  const routes = Object.entries(PLUGINS).map(([name, config]) => ({ name, paths: [`/${name}`], plugins: [{ name: 'ai-tracing', config }] }));
  gateway = await startGateway(upstream, { config: { _format_version: '3.0', services: [{ name: 'llm', url: upstream.url, routes }] } });
  mkdirSync(IMAGES, { recursive: true });
});

after(() => stop(browser, gateway, upstream));

/** Sends a request through a route; the call as the list has it. */
async function call(route, { target = '/v1/chat/completions', headers = {}, body = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] }, reply = answer('Hello.') } = {}) {
  const id = `http-${upstream.cases.size}`;
  upstream.cases.set(id, reply);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${gateway.proxy}/${route}${target}`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-case': id, ...headers }, body: text });
  await response.arrayBuffer();
  const calls = await gateway.stored(++sent);
  return calls[0];
}

async function open(id, options) {
  const page = await browser.page(options);
  await page.goto(`${gateway.url}/?call=${id}`);
  await page.locator('.panel .message').first().or(page.getByText('The record holds no content')).waitFor();
  await page.keyboard.press('4');
  await page.locator('.panel [aria-selected=true]', { hasText: 'HTTP' }).waitFor();
  await page.waitForFunction(() => document.querySelector('.http, .panel .content .empty'));
  return page;
}

/** What the panel says, and what the API answers. */
async function everything(page, id) {
  return (await page.locator('section.panel').innerText()) + (await (await fetch(`${gateway.url}/api/v1/calls/${id}/http`)).text());
}

test('heads are kept unless told otherwise, without their secrets', async () => {
  const { id } = await call('usual', {
    target: '/v1/chat/completions?api-version=2024-10-21&sig=hunter2&x=a%20b',
    headers: { authorization: 'Bearer hunter2', cookie: 'a=hunter2', 'x-session-id': 's-1', 'x-my-token': 'hunter2', 'user-agent': 'test/1' },
    reply: (body) => ({ ...answer('Hello.')(body), headers: { 'set-cookie': 'a=hunter2', 'x-request-id': 'req-77', 'x-ratelimit-remaining-tokens': '9000' } }),
  });
  const page = await open(id);
  await page.getByText('POST /usual/v1/chat/completions?api-version=2024-10-21&sig=****&x=a%20b').waitFor();
  const row = (name) => page.getByRole('row', { name: new RegExp(`^${name} `) });
  assert.match(await row('authorization').innerText(), /Bearer \*{4}$/);
  assert.match(await row('x-session-id').innerText(), /s-1$/);
  assert.match(await row('user-agent').innerText(), /test\/1$/);
  assert.match(await row('x-request-id').innerText(), /req-77$/);
  assert.match(await row('x-ratelimit-remaining-tokens').innerText(), /9000$/);
  await page.getByText(/^Request body, \d+ B: not kept: capture_http is headers/).waitFor();
  await page.getByText(/pieces?, .* head after .* last piece after/).waitFor();
  assert.doesNotMatch(await everything(page, id), /hunter2/);
  assert.deepEqual(page.wrong, []);
});

test('what is not kept says why', async () => {
  const none = await open((await call('none')).id);
  await none.getByRole('heading', { name: 'Not kept' }).waitFor();
  await none.getByText(/capture_http was none/).waitFor();
  for (const [route, why] of [['private', /not kept: capture_content is metadata_only/], ['redacting', /not kept: something is redacted/]]) {
    const { id } = await call(route, {
      target: '/v1/chat/completions?q=jo%40example.com',
      headers: { 'x-note': 'written by jo@example.com' },
      body: { model: 'gpt-4o', messages: [{ role: 'user', content: 'jo@example.com' }] },
    });
    const page = await open(id);
    assert.equal(await page.getByText(why).count(), 2);
    assert.doesNotMatch(await everything(page, id), /example\.com/);
    assert.deepEqual(page.wrong, []);
  }
});

test('bodies are shown laid out and as they were sent', async () => {
  const body = '{"model":"gpt-4o","seed":12345678901234567890,"messages":[{"role":"user","content":"Hi"}]}';
  const { id } = await call('full', { body });
  const page = await open(id);
  const group = page.getByRole('group', { name: 'Request body' });
  await group.getByText('"model": "gpt-4o",').waitFor();
  await group.getByRole('button', { name: 'Show as sent' }).click();
  assert.equal(await group.locator('pre').innerText(), body);
  await page.getByRole('group', { name: 'Response body' }).getByText('"object": "chat.completion",').waitFor();
});

test('compressed and binary bodies are told', async () => {
  const packed = await call('full', { reply: (body) => ({ text: gzipSync(answer('Packed.')(body).text), headers: { 'content-encoding': 'gzip' } }) });
  const page = await open(packed.id);
  const group = page.getByRole('group', { name: 'Response body' });
  await group.getByText(/^\d+ B as gzip/).waitFor();
  await group.getByText('Packed.').waitFor();
  const sound = await call('full', {
    target: '/v1/audio/speech',
    body: { model: 'tts-1', input: 'Hi', voice: 'alloy' },
    reply: () => ({ type: 'audio/mpeg', text: Buffer.from([0xff, 0xfb, 0x90, 0x00, 0xff]) }),
  });
  await (await open(sound.id)).getByText('Binary: 5 B of audio/mpeg.').waitFor();
});

test('a stream is shown piece by piece, with what each said', async () => {
  const pieces = streamed('one two three four five six seven eight nine ten').call(null, { model: 'gpt-4o' }).text.split(/(?<=\n\n)/);
  // The next piece is sent when the one before has arrived: each has a time of its own.
  let response;
  const ready = new Promise((resolve) => {
    upstream.cases.set('pieces', () => ({
      type: 'text/event-stream',
      write: (begun) => {
        response = begun;
        response.flushHeaders();
        resolve();
      },
    }));
  });
  const asking = fetch(`${gateway.proxy}/full/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-case': 'pieces' }, body: JSON.stringify({ model: 'gpt-4o', stream: true, messages: [{ role: 'user', content: 'Count' }] }) });
  await ready;
  const reader = (await asking).body.getReader();
  for (const piece of pieces) {
    response.write(piece);
    for (let come = 0; come < piece.length; ) come += (await reader.read()).value.length;
  }
  response.end();
  assert.ok((await reader.read()).done);
  const [{ id }] = await gateway.stored(++sent);
  const page = await open(id);
  const told = page.getByRole('table', { name: 'Pieces of the answer' }).locator('tbody tr');
  const cells = await told.evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.ok(cells.length > 1, 'several');
  assert.equal(cells.map(([, , , text]) => text).join('').replaceAll('\n', ''), pieces.join('').replaceAll('\n', ''));
  const times = cells.map(([at]) => Number(/^([\d.]+) ms$/.exec(at)[1]));
  assert.deepEqual(times, [...times].sort((a, b) => a - b));
  await page.getByRole('img', { name: / over / }).waitFor();
  assert.deepEqual(page.wrong, []);
});

/** What a shell makes of a command: the arguments that curl would be given, and what it would read. */
function run(command, env) {
  const script = `curl() { printf '%s\\0' "$@"; case " $* " in *" @- "*) cat;; esac; }\n${command}`;
  const said = execFileSync('bash', ['-s'], { input: script, env: { PATH: process.env.PATH, ...env } }).toString();
  return said.split('\0');
}

test('a call is copied as a command, whatever it holds', async () => {
  const trap = `'; touch /tmp/trap; $(touch /tmp/trap) \`touch /tmp/trap\` "$HOME" \\`;
  const body = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: trap }] }] });
  const { id } = await call('full', {
    target: `/v1beta/models/gemini-2.0-flash:generateContent?key=hunter2&it's=a'b&[x]={y}`,
    headers: { authorization: 'Bearer hunter2', 'x-goog-api-key': 'hunter2', 'x-note': trap, 'x-$id`id`-key': 'hunter2', host: 'evil.test' },
    body,
  });
  const page = await open(id, { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  const args = run(await page.evaluate(() => navigator.clipboard.readText()), { API_KEY: 'k-1' });
  assert.equal(args[0], '-g');
  assert.equal(args[1], 'http://localhost:8000/full/v1beta/models/gemini-2.0-flash:generateContent?key=k-1&it%27s=a%27b&%5Bx%5D=%7By%7D');
  const headers = args.filter((_, index) => args[index - 1] === '-H');
  for (const expected of ['content-type: application/json', 'authorization: Bearer k-1', 'x-goog-api-key: k-1', `x-note: ${trap}`]) assert.ok(headers.includes(expected), `${expected} in ${headers}`);
  assert.ok(!headers.some((header) => /host|length|\$id|traceparent/.test(header)), `${headers}`);
  assert.equal(args[args.indexOf('--data-raw') + 1], body);
});

test('a long call is copied as well, and one that is not whole is not', async () => {
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'END of it. '.repeat(20_000) }] });
  const page = await open((await call('full', { body })).id, { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  const said = run(await page.evaluate(() => navigator.clipboard.readText()), {});
  assert.equal(said.at(-1), `${body}\n`);
  for (const { id } of [await call('private'), await call('usual', { target: '/v1/embeddings', body: { model: 'e', input: 'a' } })]) {
    const page = await open(id);
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    await page.getByText('Not kept whole: see HTTP').waitFor();
  }
});

test('a body of 256 KiB opens at once, and hostile text is text', async () => {
  const trap = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>';
  const { id } = await call('full', {
    target: `/v1/chat/completions?q=${encodeURIComponent(trap)}`,
    headers: { 'x-note': trap },
    body: { model: 'gpt-4o', messages: [{ role: 'user', content: trap }] },
    reply: (body) => {
      const stream = streamed(`${trap} ${'word '.repeat(2_000)}`)(body);
      return { ...stream, text: stream.text + `: ${'x'.repeat(400_000)}\n\n`, headers: { 'x-answer': trap } };
    },
  });
  const page = await open(id);
  const group = page.getByRole('group', { name: 'Response body' });
  await group.getByText(/bytes are missing here: 256 KiB of a body are kept here/).waitFor();
  const length = await group.evaluate((node) => node.textContent.length);
  assert.ok(length < 20_000, `${length}`);
  await group.getByRole('button', { name: /^Show more/ }).first().click();
  await page.waitForFunction(() => document.querySelector('.raw[aria-label="Response body"]').textContent.length > 80_000);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.evaluate(() => document.querySelectorAll('.http img, .http script, .http iframe').length), 0);
  assert.deepEqual(page.wrong, []);
  assert.deepEqual(page.asked.filter((url) => !url.startsWith(gateway.url)), []);
});

for (const colorScheme of ['light', 'dark']) {
  test(`the exchange is fit for everybody, ${colorScheme}`, async () => {
    const calls = await (await fetch(`${gateway.url}/api/v1/calls?limit=50`)).json();
    const stream = calls.calls.findLast((one) => one.stream && one.name.startsWith('/full')).id;
    const none = calls.calls.find((one) => one.name.startsWith('/none')).id;
    for (const id of [stream, none, calls.calls.at(-1).id]) {
      const page = await open(id, { colorScheme });
      if (id === stream) {
        await page.screenshot({ path: path.join(IMAGES, `console-http-${colorScheme}.png`) });
        await page.getByRole('heading', { name: 'When the answer came' }).evaluate((node) => node.scrollIntoView());
        await page.screenshot({ path: path.join(IMAGES, `console-http-times-${colorScheme}.png`) });
      }
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
      assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join('\n')}`), []);
    }
    const narrow = await open(stream, { colorScheme, viewport: { width: 420, height: 800 } });
    assert.ok(await narrow.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
}
