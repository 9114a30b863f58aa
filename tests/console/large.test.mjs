// A session of thousands of calls, one of them of megabytes: the page keeps what is seen, and no more.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, rows, startBrowser, startGateway, startUpstream, stop, until } from './harness.mjs';

const CALLS = 3_000;
const AT_ONCE = 20;
/** The call of megabytes, among the first. */
const HUGE = 7;
/** Markup, and marks that turn what follows them around. */
const HOSTILE = '<script>window.hit = 1</script><img src=x onerror="window.hit = 1"> \u202Egnp.exe\u202C \u2067\u05D0\u05D1\u05D2 **bold**\n';

let upstream;
let gateway;
let browser;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
  gateway = await startGateway(upstream);
  const headers = { 'x-session-id': 's-huge' };
  const call = (n) => {
    const text = n === HUGE ? HOSTILE.repeat(Math.ceil(10_000_000 / HOSTILE.length)) : `question ${n}`;
    return gateway.send({ text, headers, reply: answer(n === HUGE ? HOSTILE.repeat(2_000) : `answer ${n}`) });
  };
  const stored = (count) => until(async () => {
    const session = await (await fetch(`${gateway.url}/api/v1/sessions/s-huge`)).json();
    return session.calls >= count;
  }, `${count} calls in the store`);
  // The first ones in order, the others side by side, none faster than they are stored.
  for (let n = 0; n < AT_ONCE; n++) await call(n);
  for (let n = AT_ONCE; n < CALLS; n += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => call(n + index)));
    if (n % 200 === 0) await stored(n);
  }
  await stored(CALLS);
});

after(() => stop(browser, gateway, upstream));

async function harmless(page) {
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.deepEqual(page.wrong, []);
}

test('a session of thousands of calls is a list that never holds more rows than are seen', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/sessions/s-huge`);
  await page.getByText('3,000', { exact: true }).waitFor();
  const height = () => page.locator('.body').evaluate((body) => body.offsetHeight);
  let most = 0;
  for (let last = 0; last < CALLS * 30; last = await height()) {
    await page.locator('.table').evaluate((table) => { table.scrollTop = table.scrollHeight; });
    await page.waitForFunction((last) => document.querySelector('.body').offsetHeight > last, last);
    most = Math.max(most, await rows(page).count());
  }
  assert.equal(await height(), CALLS * 30, 'a row for each call');
  assert.ok(most < 100, `${most} rows at once`);
  await page.keyboard.press('G');
  await page.locator('.body [role=row][aria-selected=true]').waitFor();
  assert.equal(await page.locator('.body [role=row][aria-selected=true]').getAttribute('aria-rowindex'), String(CALLS + 1));

  // The end of a session is one click away.
  await page.getByRole('button', { name: 'Newest first' }).click();
  const newest = (await (await fetch(`${gateway.url}/api/v1/calls?session=s-huge&limit=1`)).json()).calls[0];
  await page.locator(`#row-${newest.id}[aria-rowindex="2"]`).waitFor();
  await gateway.send({ text: 'later', headers: { 'x-session-id': 's-huge' }, reply: answer('later') });
  await page.waitForFunction((id) => document.querySelector(`#row-${id}`)?.getAttribute('aria-rowindex') === '3', newest.id);
  await harmless(page);
});

test('the story of a long session keeps the content of what is near alone', async () => {
  const page = await browser.page();
  await page.goto(`${gateway.url}/sessions/s-huge?as=story`);
  const entries = page.locator('.story .entry');
  await page.waitForFunction(() => document.querySelectorAll('.story .entry').length === 25);
  for (let count = 50; count <= 200; count += 25) {
    await page.getByRole('button', { name: 'Show what came later' }).click();
    await page.waitForFunction((count) => document.querySelectorAll('.story .entry').length === count, count);
  }
  const story = page.locator('.story');
  await story.evaluate((story) => { story.scrollTop = 0; });
  const seen = async () => page.waitForFunction(() => {
    const box = document.querySelector('.story').getBoundingClientRect();
    const inside = [...document.querySelectorAll('.story .entry')].filter((entry) => {
      const { top, bottom } = entry.getBoundingClientRect();
      return bottom > box.top + 5 && top < box.bottom - 5;
    });
    return inside.length > 0 && inside.every((entry) => entry.querySelector('.answer'));
  });
  let most = 0;
  for (;;) {
    await seen();
    most = Math.max(most, await story.locator('.answer').count());
    const atEnd = await story.evaluate((story) => {
      const before = story.scrollTop;
      story.scrollTop += story.clientHeight;
      return story.scrollTop === before;
    });
    if (atEnd) break;
  }
  assert.ok(most < 60, `${most} contents at once`);
  assert.match(await entries.nth(199).innerText(), /answer \d+/);
  // What was let go keeps its room: the first call is where it was, and is read again.
  await story.evaluate((story) => { story.scrollTop = 0; });
  await seen();
  assert.match(await entries.first().innerText(), /question 0[\s\S]*answer 0/);
  const huge = entries.nth(HUGE);
  await huge.scrollIntoViewIfNeeded();
  await huge.getByText('<script>window.hit = 1</script>').first().waitFor();
  assert.ok((await huge.evaluate((entry) => entry.textContent.length)) < 50_000, 'the beginning of each text');
  await harmless(page);
});
