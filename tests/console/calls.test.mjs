// The list of calls, its filters, and one call beside it.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { answer, failure, rows, startBrowser, startGateway, startUpstream, stop, streamed } from './harness.mjs';

let upstream;
let gateway;
let browser;
let page;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
  gateway = await startGateway(upstream);
});

after(() => stop(browser, gateway, upstream));

beforeEach(async () => {
  page = await browser.page();
});

afterEach(() => page.context().close());

const shown = (count) => page.waitForFunction((count) => document.querySelectorAll('.body [role=row]').length === count, count);
const panel = () => page.locator('section.panel');

test('calls arrive by themselves, the newest on top', async () => {
  await page.goto(gateway.url);
  await page.getByText('No calls yet').waitFor();
  await gateway.send({ model: 'gpt-4o', headers: { 'x-user-id': 'ann', 'x-session-id': 's-1' }, text: 'Where is Lisbon?', reply: streamed('In **Portugal**.') });
  await rows(page).first().waitFor();
  await gateway.send({ model: 'gpt-4o-mini', headers: { 'x-user-id': 'ben' }, reply: failure(429, 'Slow down.', 'rate_limit_exceeded') });
  await shown(2);
  const [first, second] = await rows(page).allInnerTexts();
  assert.match(first, /429[\s\S]*gpt-4o-mini[\s\S]*ben/);
  assert.match(second, /200[\s\S]*gpt-4o[\s\S]*ann[\s\S]*s-1[\s\S]*120[\s\S]*40/);
  assert.deepEqual(page.wrong, []);
});

test('a filter is typed, stands in the URL, and holds for what arrives', async () => {
  await page.goto(gateway.url);
  await shown(2);
  await page.keyboard.press('/');
  await page.keyboard.type('user:ann');
  await page.keyboard.press('Enter');
  await shown(1);
  assert.equal(new URL(page.url()).search, '?user=ann');
  await page.reload();
  await shown(1);
  await page.locator('.live.on').waitFor();
  await gateway.send({ headers: { 'x-user-id': 'ben' } });
  await gateway.send({ headers: { 'x-user-id': 'ann' }, text: 'Again' });
  await shown(2);
  assert.doesNotMatch((await rows(page).allInnerTexts()).join(), /ben/);
  await page.getByRole('button', { name: 'Remove filter User' }).click();
  await shown(4);
});

test('words in the content are found, and errors alone are shown', async () => {
  await page.goto(`${gateway.url}/?search=lisbon`);
  await shown(1);
  await page.goto(`${gateway.url}/?search=nowhere`);
  await page.getByText('No call matches').waitFor();
  await page.goto(gateway.url);
  await shown(4);
  await page.keyboard.press('e');
  await shown(1);
  assert.match(await rows(page).first().innerText(), /429/);
});

test('a wrong filter is told', async () => {
  await page.goto(`${gateway.url}/?status=abc`);
  await page.getByText('status: not an HTTP status').waitFor();
});

test('a call opens beside the list, and the way back leads back', async () => {
  await page.goto(`${gateway.url}/?search=lisbon`);
  await rows(page).first().click();
  await panel().getByText('Where is Lisbon?').waitFor();
  assert.equal(await panel().locator('.answer strong').innerText(), 'Portugal');
  await panel().getByRole('tab', { name: 'Details' }).click();
  await panel().getByText('Usage and cost').waitFor();
  assert.match(await panel().innerText(), /Tokens in\s+120[\s\S]*Session\s+s-1/);
  await panel().getByRole('tab', { name: 'Record' }).click();
  await panel().getByText('"dialect": "openai_chat"').waitFor();
  await page.goBack();
  await panel().waitFor({ state: 'detached' });
  await page.goForward();
  await panel().waitFor();
});

test('tools, reasoning, pictures and parameters are shown', async () => {
  const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  await gateway.send({
    text: 'x',
    temperature: 0.25,
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'What is in toolcase?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } }] },
      { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"at":"picture"}' } }] },
      { role: 'tool', tool_call_id: 'call_1', content: '{"seen":"a dot"}' },
    ],
    reply: answer('A dot.', { message: { reasoning_content: 'It is small.' }, finish: 'stop' }),
  });
  await gateway.stored(5);
  await page.goto(`${gateway.url}/?search=toolcase`);
  await rows(page).first().click();
  await panel().getByText('"at": "picture"').waitFor();
  await panel().getByRole('heading', { name: 'tool · look' }).waitFor();
  assert.ok(await panel().locator('img').evaluate((image) => image.complete && image.naturalWidth === 1));
  assert.equal(await panel().getByText('It is small.').isVisible(), false, 'reasoning is folded');
  await panel().getByText(/^Reasoning/).click();
  await panel().getByText('It is small.').waitFor();
  await page.keyboard.press('2');
  assert.match(await panel().innerText(), /temperature\s+0\.25/);
  assert.deepEqual(page.wrong, []);
});

test('everything goes by keyboard', async () => {
  await page.goto(gateway.url);
  await shown(5);
  const selected = () => page.locator('[role=row][aria-selected=true]');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.equal(await selected().getAttribute('aria-rowindex'), '3');
  await page.keyboard.press('Enter');
  await panel().waitFor();
  const first = new URL(page.url()).searchParams.get('call');
  await page.keyboard.press('j');
  await page.waitForFunction((first) => new URL(location.href).searchParams.get('call') !== first, first);
  await page.keyboard.press('k');
  await page.waitForFunction((first) => new URL(location.href).searchParams.get('call') === first, first);
  await page.keyboard.press('Escape');
  await panel().waitFor({ state: 'detached' });
  await page.keyboard.press('G');
  assert.equal(await selected().getAttribute('aria-rowindex'), '6');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.type), 'search');
  await page.keyboard.press('Escape');
  await page.keyboard.press('o');
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
});

test('a long list is a few rows, and every call can be reached', async () => {
  const fresh = await startGateway(upstream);
  try {
    for (let round = 0; round < 13; round++) await Promise.all(Array.from({ length: 20 }, (_, index) => fresh.send({ text: `call ${round * 20 + index}` })));
    await fresh.stored(260);
    await page.goto(fresh.url);
    await rows(page).first().waitFor();
    // Each page of the API is asked for when the end of the one before comes into sight.
    await page.waitForFunction(() => {
      const box = document.querySelector('.table');
      box.scrollTop = box.scrollHeight;
      return document.querySelector('[role=row][aria-rowindex="261"]');
    });
    assert.ok((await rows(page).count()) < 80);
    // Who reads further down keeps the place when calls arrive.
    await page.evaluate(() => (document.querySelector('.table').scrollTop = 3000));
    await page.locator('.live.on').waitFor();
    // The row at the top edge; what has come into sight is drawn a frame later.
    const atTop = (expected) => {
      const top = document.querySelector('.table').getBoundingClientRect().top + 40;
      const found = [...document.querySelectorAll('.body [role=row]')].find((row) => {
        const box = row.getBoundingClientRect();
        return box.top <= top && top < box.bottom;
      });
      return found && (!expected || found.id === expected) && found.id;
    };
    const before = await (await page.waitForFunction(atTop)).jsonValue();
    await fresh.send({ text: 'one more' });
    await page.waitForFunction(() => document.querySelector('[role=grid]').getAttribute('aria-rowcount') === '262');
    await page.waitForFunction(atTop, before);
  } finally {
    await fresh.stop();
  }
});
