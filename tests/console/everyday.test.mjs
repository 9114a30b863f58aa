// What makes a page that is open all day pleasant: nothing moves under the pointer, and everything leads somewhere.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, failure, rows, startBrowser, startGateway, startUpstream, stop, until } from './harness.mjs';

const CALLS = 40;

let upstream;
let elsewhere;
let gateway;
let browser;
let stored;

const langfuse = (url) => ({ langfuse_enabled: true, langfuse_endpoint: url, langfuse_public_key: 'pk', langfuse_secret_key: 'sk' });

const MARKDOWN = `3. third
4. fourth

- [x] done
- [ ] open

| left | right |
| :--- | ---: |
| abcdefgh | 1 |
`;

before(async () => {
  upstream = await startUpstream();
  elsewhere = await startUpstream();
  browser = await startBrowser();
  const routes = [
    { name: 'one', paths: ['/v1'], plugins: [{ name: 'ai-tracing', config: langfuse(upstream.url) }] },
    { name: 'other', paths: ['/other'], plugins: [{ name: 'ai-tracing', config: langfuse(elsewhere.url) }] },
    { name: 'none', paths: ['/none'], plugins: [{ name: 'ai-tracing', config: {} }] },
  ];
  gateway = await startGateway(upstream, { config: { _format_version: '3.0', services: [{ name: 'llm', url: upstream.url, routes }] } });
  for (let n = 0; n < CALLS; n++) {
    await gateway.send({ headers: { 'x-user-id': `user-${n % 2}`, 'x-session-id': 's-1' }, text: `question ${n}`, reply: n % 10 === 3 ? failure(500, 'No.') : answer(MARKDOWN) });
  }
  for (const path of ['other', 'none']) {
    await fetch(`${gateway.proxy}/${path}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}' }).then((response) => response.text());
  }
  stored = await gateway.stored(CALLS + 2);
});

after(() => stop(browser, gateway, upstream, elsewhere));

const arrived = (page, text) => page.waitForFunction((text) => document.querySelector('.above')?.textContent === text, text);

test('calls that arrive move nothing under the pointer, nor for who reads further down', async () => {
  const page = await browser.page();
  await page.goto(gateway.url);
  await page.locator('.live.on').waitFor();
  const table = page.locator('.table');
  const third = rows(page).nth(2);
  const id = await third.getAttribute('id');
  await third.hover();
  const place = () => page.locator(`#${id}`).boundingBox();
  const before = await place();
  await gateway.send({ headers: { 'x-user-id': 'late' } });
  await gateway.send({ headers: { 'x-user-id': 'late' } });
  await arrived(page, '↑ 2 new');
  assert.deepEqual(await place(), before);
  // Without the pointer the list is live again.
  await page.mouse.move(700, 10);
  await page.waitForFunction(() => document.querySelector('.table').scrollTop === 0);
  await page.locator('.above').waitFor({ state: 'detached' });

  await table.evaluate((table) => { table.scrollTop = 300; });
  const stays = await place();
  await gateway.send({ headers: { 'x-user-id': 'late' } });
  await arrived(page, '↑ 1 new');
  assert.deepEqual(await place(), stays);
  await page.getByRole('button', { name: '1 new' }).click();
  await page.waitForFunction(() => document.querySelector('.table').scrollTop === 0);
  assert.deepEqual(page.wrong, []);
});

test('a session that is open goes on at its end, as a list and as a story', async () => {
  const page = await browser.page();
  await gateway.send({ headers: { 'x-session-id': 's-2' }, text: 'first', reply: answer('one') });
  await until(async () => (await (await fetch(`${gateway.url}/api/v1/calls?session=s-2`)).json()).calls.length === 1, 'the session');
  await page.goto(`${gateway.url}/sessions/s-2`);
  await rows(page).first().waitFor();
  await gateway.send({ headers: { 'x-session-id': 's-2' }, text: 'second', reply: answer('two') });
  await rows(page).nth(1).waitFor();
  const times = await rows(page).locator('time').evaluateAll((times) => times.map((time) => time.dateTime));
  assert.deepEqual(times, [...times].sort());
  await page.keyboard.press('t');
  await page.locator('.entry').nth(1).getByText('two').waitFor();
  await gateway.send({ headers: { 'x-session-id': 's-2' }, text: 'third', reply: answer('three') });
  await page.locator('.entry').nth(2).getByText('three').waitFor();
  assert.deepEqual(page.wrong, []);
});

test('a call leads to its own Langfuse, its user and its session', async () => {
  const page = await browser.page();
  const of = (route) => stored.find((call) => call.route === route);
  for (const [route, base] of [['one', upstream.url], ['other', elsewhere.url]]) {
    await page.goto(`${gateway.url}/?call=${of(route).id}`);
    const link = page.getByRole('link', { name: 'Langfuse' });
    assert.equal(await link.getAttribute('href'), `${base}/trace/${of(route).trace_id}`);
  }
  await page.goto(`${gateway.url}/?call=${of('none').id}`);
  await page.locator('.panel .answer').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Langfuse' }).count(), 0);
  await page.goto(`${gateway.url}/?call=${of('one').id}`);
  await page.locator('.panel .sub').getByRole('link', { name: 's-1' }).click();
  await page.getByRole('heading', { name: 'Session s-1' }).waitFor();
});

test('lists and tables of an answer are laid out as they were meant', async () => {
  const page = await browser.page();
  const call = stored.find((call) => call.route === 'one' && call.status === 200);
  await page.goto(`${gateway.url}/?call=${call.id}`);
  const markdown = page.locator('.panel .answer .markdown');
  await markdown.waitFor();
  assert.equal(await markdown.locator('ol').getAttribute('start'), '3');
  assert.deepEqual(await markdown.locator('input[type=checkbox]').evaluateAll((boxes) => boxes.map((box) => [box.checked, box.disabled])), [[true, true], [false, true]]);
  assert.equal(await markdown.locator('td').nth(1).getAttribute('align'), 'right');
  await page.setViewportSize({ width: 390, height: 800 });
  assert.ok(await markdown.locator('td').first().evaluate((cell) => cell.clientHeight < 40), 'no word is broken');
});

test('a time range is picked by its ends, stands in the URL, and holds on every page', async () => {
  const page = await browser.page({ timezoneId: 'Asia/Kolkata' });
  const [newest, oldest] = [stored[0], stored.at(-1)];
  const ceiling = (time) => new Date(Math.ceil(Date.parse(time) / 1000) * 1000 + 1000);
  const local = (date) => page.evaluate((time) => {
    const two = (value) => String(value).padStart(2, '0');
    const at = new Date(time);
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }, date.toISOString());
  await page.goto(gateway.url);
  const range = page.getByRole('combobox', { name: 'Time range' });
  const dialog = page.getByRole('dialog', { name: 'Time range' });
  await range.selectOption('pick');
  await dialog.waitFor();
  const since = new Date(Date.parse(oldest.started_at) - 3_600_000);
  since.setMilliseconds(0);
  const upTo = ceiling(newest.started_at);
  await dialog.getByLabel('From').fill(await local(since));
  await dialog.getByLabel('To').fill(await local(new Date(since.getTime() - 60_000)));
  await dialog.getByRole('button', { name: 'Show' }).click();
  assert.ok(await dialog.isVisible(), 'an end before the beginning is refused');
  await dialog.getByLabel('To').fill(await local(upTo));
  await dialog.getByRole('button', { name: 'Show' }).click();
  await page.waitForURL(/since=.*until=/);
  const asked = new URL(page.url()).searchParams;
  assert.deepEqual([asked.get('since'), asked.get('until')], [since.toISOString(), upTo.toISOString()]);
  await page.locator('.live', { hasText: 'Past' }).waitFor();
  for (const path of ['/overview', '/sessions', '/users']) {
    await page.goto(`${gateway.url}${path}?${asked}`);
    await page.getByRole('combobox', { name: 'Time range' }).getByRole('option', { selected: true, name: '–' }).waitFor({ state: 'attached' });
    await page.waitForFunction(() => !document.body.innerText.includes('Loading'));
  }
  await page.goto(`${gateway.url}/users?${asked}`);
  await page.getByRole('link', { name: 'user-0' }).click();
  await page.waitForURL(/until=/);
  assert.deepEqual(page.wrong, []);
});

test('the numbers of the overview and of a session lead to the calls that they count', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/overview`);
  const line = page.getByRole('region', { name: 'By model' }).getByRole('row', { name: /gpt-4o/ });
  await line.getByRole('cell').nth(2).getByRole('link').click();
  await page.waitForURL(/errors=true/);
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row].failed').length === 4);
  assert.equal(new URL(page.url()).searchParams.get('model'), 'gpt-4o');
  await page.goto(`${gateway.url}/sessions/s-1`);
  await page.locator('.session .facts').getByRole('link', { name: '4' }).click();
  await page.waitForURL(/session=s-1&errors=true/);
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row]').length === 4);
  assert.deepEqual(page.wrong, []);
});

test('on a phone every page is a tap away and nothing is wider than the screen', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 800 } });
  for (const path of ['/', '/overview', '/sessions', '/users', '/settings', `/?call=${stored[0].id}`, `/?call=${stored[0].id}&view=details`]) {
    await page.goto(gateway.url + path);
    const links = page.getByRole('navigation', { name: 'Pages' }).getByRole('link');
    await links.first().waitFor();
    const ends = await links.evaluateAll((links) => links.map((link) => link.getBoundingClientRect()).map(({ left, right }) => [left, right]));
    assert.equal(ends.length, 5);
    assert.ok(ends.every(([left, right]) => left >= 0 && right <= 390), `${path}: ${ends}`);
    await page.waitForFunction(() => !document.body.innerText.includes('Loading'));
    const wide = () => [...document.querySelectorAll('html, main, .panel .content')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.className || box.tagName);
    assert.deepEqual(await page.evaluate(wide), [], path);
  }
});

test('a filter that does not exist is named where nothing is found', async () => {
  const page = await browser.page();
  await page.goto(gateway.url);
  await rows(page).first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('usr:ann');
  await page.keyboard.press('Enter');
  await page.getByText('usr:ann is none of them').waitFor();
  await page.getByRole('link', { name: 'Clear them' }).click();
  await rows(page).first().waitFor();
});

test('Enter opens no call that the list does not show', async () => {
  const page = await browser.page();
  await page.goto(gateway.url);
  await rows(page).first().waitFor();
  await page.keyboard.press('j');
  await page.locator('.body [aria-selected=true]').waitFor();
  await page.keyboard.press('e');
  await page.waitForFunction(() => document.querySelectorAll('.body [role=row].failed').length === 4 && document.querySelectorAll('.body [role=row]').length === 4);
  await page.keyboard.press('Enter');
  assert.equal(new URL(page.url()).search, '?errors=true');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('.panel .failed').waitFor();
  assert.deepEqual(page.wrong, []);
});

test('a store whose file was damaged is told', async () => {
  const page = await browser.page();
  await page.route('**/api/v1/delivery', async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    assert.equal(json.store.replaced, 0);
    await route.fulfill({ response, json: { ...json, store: { ...json.store, replaced: 1 } } });
  });
  await page.goto(`${gateway.url}/overview`);
  await page.getByText('Its file was damaged: it was moved aside').waitFor();
});
