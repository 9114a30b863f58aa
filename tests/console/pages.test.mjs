// The other pages, for eyes and for assistive technology. A picture of each is kept beside what is built.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, answer, failure, rows, startBrowser, startGateway, startUpstream, stop, streamed } from './harness.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const IMAGES = process.env.CONSOLE_IMAGES ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'console-images');
const CALLS = 36;

let upstream;
let gateway;
let browser;

/** Traffic as it looks on a usual day. */
const TRAFFIC = [
  ['Was invoice 4711 paid?', '**Yes.** It was paid on *3 March*.\n\n1. Open the ledger\n2. Filter by `invoice_id`\n\n```sql\nSELECT paid_at FROM invoices WHERE id = 4711;\n```'],
  ['Which plan fits a team of five?', 'The **Team** plan:\n\n| plan | seats | price |\n| --- | --- | --- |\n| Team | 10 | $20 |\n| Pro | 50 | $45 |'],
  ['Where is my order?', 'It left Porto this morning and arrives on Thursday.'],
  ['Summarise the incident of last week.', 'A certificate expired at 02:10. Two regions answered with errors for eleven minutes. It is renewed by a job now.'],
];
const USERS = ['ana.souza', 'ben', 'chloe@acme.dev', 'dmitri', 'eun-ji'];
const MODELS = ['gpt-4o', 'gpt-4o-mini', 'o3-mini', 'gpt-4.1'];

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
  gateway = await startGateway(upstream, { env: { LANGFUSE_PUBLIC_KEY: 'pk-hunter2', LANGFUSE_SECRET_KEY: 'sk-hunter2', LANGFUSE_HOST: upstream.url } });
  for (let n = 0; n < CALLS; n++) {
    const [question, text] = TRAFFIC[n % TRAFFIC.length];
    const usage = { prompt_tokens: 300 + 97 * n, completion_tokens: 60 + 11 * n, prompt_tokens_details: { cached_tokens: 40 * n } };
    const failed = n % 9 === 5;
    const stream = !failed && n % 2 === 0;
    const reply = failed ? failure(429, 'Rate limit reached on tokens per minute.', 'rate_limit_exceeded') : stream ? streamed(text, usage) : answer(text, { usage });
    await gateway.send({
      model: MODELS[n % MODELS.length],
      stream,
      temperature: 0.7,
      messages: [{ role: 'system', content: 'You are the support assistant of Acme. Answer briefly.' }, { role: 'user', content: question }],
      headers: { 'x-user-id': USERS[n % USERS.length], 'x-session-id': `s-${1000 + (n % 7)}`, 'x-project-id': n % 3 ? 'support' : 'docs' },
      reply,
    });
  }
  await gateway.stored(CALLS);
  mkdirSync(IMAGES, { recursive: true });
});

after(() => stop(browser, gateway, upstream));

async function settled(page) {
  await page.waitForFunction(() => !document.body.innerText.includes('Loading'));
}

test('a call as its destinations get it', async () => {
  const page = await browser.page();
  await page.goto(gateway.url);
  await rows(page).first().click();
  await page.keyboard.press('5');
  const destination = page.getByRole('region', { name: `langfuse ${upstream.url}` });
  await destination.locator('.span').nth(2).waitFor();
  const [root, prompt, completion] = await destination.locator('.span').allInnerTexts();
  assert.match(root, /\/v1\/chat\/completions[\s\S]*langfuse\.user\.id\s+ana\.souza/);
  assert.match(prompt, /prompt[\s\S]*langfuse\.observation\.type\s+event/);
  assert.match(completion, /completion[\s\S]*langfuse\.observation\.model\.name\s+gpt-4\.1/);
  assert.doesNotMatch(await page.content(), /sk-hunter2/);
  await page.reload();
  await destination.waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('the overview adds up, and its numbers lead to their calls', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/overview`);
  const tile = (name) => page.locator('.tile').filter({ has: page.getByText(name, { exact: true }) });
  await tile('Calls').waitFor();
  assert.match(await tile('Calls').innerText(), new RegExp(`\\b${CALLS}\\b`));
  assert.match(await tile('Error rate').innerText(), /11 %[\s\S]*4 failed/);
  assert.match(await tile('Users').innerText(), /\b5\b/);
  assert.match(await tile('Sessions').innerText(), /\b7\b/);
  assert.equal(await page.locator('.chart canvas').count(), 6);
  await page.getByRole('combobox', { name: 'by' }).selectOption('project');
  await page.getByRole('cell', { name: 'support' }).waitFor();
  assert.match(await page.getByRole('row', { name: /support/ }).innerText(), /support\s+24/);
  assert.match(await page.getByRole('region', { name: 'Destinations' }).innerText(), /local_store[\s\S]*in order/);
  await tile('Error rate').click();
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row]').length === 4);
  assert.equal(new URL(page.url()).searchParams.get('errors'), 'true');
  assert.deepEqual(page.wrong, []);
});

test('a click into a chart leads to the calls of that moment', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/overview?since=15m`);
  const over = page.locator('.chart .u-over').first();
  await over.waitFor();
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width - 3, box.y + 20);
  await page.mouse.click(box.x + box.width - 3, box.y + 20);
  await page.waitForURL(/since=.*until=/);
  await page.getByRole('button', { name: 'Past' }).waitFor();
});

test('a session is followed from the list to its calls', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/sessions`);
  await page.getByRole('link', { name: 's-1003' }).click();
  await page.getByRole('heading', { name: 'Session s-1003' }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row]').length === 5);
  const times = await rows(page).locator('time').evaluateAll((times) => times.map((time) => time.dateTime));
  assert.deepEqual(times, [...times].sort(), 'in order');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('.panel .answer, .panel .failed').first().waitFor();
  const [first, second] = await page.evaluate(() => [location.href, document.querySelectorAll('[role=row][aria-selected=true]').length]);
  assert.match(first, /\/sessions\/s-1003\?call=/);
  assert.equal(second, 1);
  await page.keyboard.press('Escape');
  await page.keyboard.press('t');
  await page.locator('.entry .answer').first().waitFor();
  assert.equal(await page.locator('.entry').count(), 5);
  assert.equal(new URL(page.url()).search, '?as=story');
  await page.locator('.entry h2 a').first().click();
  await page.locator('.panel .message').first().waitFor();
  assert.deepEqual(page.wrong, []);
});

test('users are sorted by what counts', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/users`);
  await page.getByRole('link', { name: 'ana.souza' }).waitFor();
  await page.getByRole('button', { name: 'Errors' }).click();
  await page.waitForURL(/sort=errors/);
  await page.locator('th[aria-sort=descending]', { hasText: 'Errors' }).waitFor();
  await page.getByRole('link', { name: 'ana.souza' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row]').length === 8);
});

test('settings show what is in force and no secret', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/settings`);
  await page.getByText('ai-tracing').first().click();
  await page.getByText('"langfuse_enabled": true').waitFor();
  const shown = await page.locator('main').innerText();
  assert.match(shown, /vault:\/\/env\/LANGFUSE_SECRET_KEY/);
  assert.doesNotMatch(shown, /hunter2/);
  await page.goto(`${gateway.url}/?search=invoice`);
  await rows(page).first().click();
  const link = page.getByRole('link', { name: 'Langfuse' });
  await link.waitFor();
  assert.match(await link.getAttribute('href'), new RegExp(`^${upstream.url}/trace/[0-9a-f]{32}$`));
});

for (const colorScheme of ['light', 'dark']) {
  test(`every page can be used by everybody, ${colorScheme}`, async () => {
    const page = await browser.page({ colorScheme });
    const call = (await gateway.stored(CALLS)).find((call) => call.stream && call.status === 200 && call.model === 'gpt-4o');
    const pages = {
      calls: '/',
      call: `/?call=${call.id}`,
      details: `/?call=${call.id}&view=details`,
      record: `/?call=${call.id}&view=json`,
      spans: `/?call=${call.id}&view=spans`,
      overview: '/overview',
      sessions: '/sessions',
      session: '/sessions/s-1002',
      story: '/sessions/s-1002?as=story',
      users: '/users',
      settings: '/settings',
      empty: '/?user=nobody',
    };
    const all = [];
    for (const [name, url] of Object.entries(pages)) {
      await page.goto(gateway.url + url);
      await page.locator('h1, .body [role=row], .empty').first().waitFor();
      await settled(page);
      if (name !== 'settings') await page.screenshot({ path: path.join(IMAGES, `console-${name}-${colorScheme}.png`) });
      // Read into the page by the test: the page itself would not be allowed to load it.
      await page.evaluate(await axe());
      const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
      const found = violations.map((one) => `${one.id}: ${one.help}\n  ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)}\n    ${node.failureSummary?.replaceAll('\n', ' ').slice(0, 300)}`).join('\n  ')}`);
      all.push(...found.map((one) => `${name}: ${one}`));
    }
    assert.deepEqual(all, []);
    assert.deepEqual(page.wrong, []);
  });
}

async function axe() {
  const { readFile } = await import('node:fs/promises');
  return readFile(AXE, 'utf8');
}

test('a narrow window shows one thing at a time', async () => {
  const page = await browser.page({ viewport: { width: 420, height: 800 } });
  await page.goto(gateway.url);
  await rows(page).first().click();
  await page.locator('.panel .message').first().waitFor();
  assert.equal(await page.locator('.table').isVisible(), false);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await page.getByRole('button', { name: /^Close/ }).click();
  await rows(page).first().waitFor();
});

test('the theme is chosen and kept', async () => {
  const page = await browser.page({ colorScheme: 'light' });
  await page.goto(gateway.url);
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.equal(await ground(), 'rgb(255, 255, 255)');
  await page.getByRole('button', { name: 'Auto' }).click();
  await page.getByRole('button', { name: 'Light' }).click();
  await page.getByRole('button', { name: 'Dark' }).waitFor();
  assert.equal(await ground(), 'rgb(17, 23, 28)');
  await page.reload();
  await page.getByRole('button', { name: 'Dark' }).waitFor();
  assert.equal(await ground(), 'rgb(17, 23, 28)');
});
