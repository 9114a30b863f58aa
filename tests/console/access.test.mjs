// Who may look, and what happens when there is nothing to look at.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { refused, rows, startBrowser, startGateway, startUpstream, stop, until } from './harness.mjs';

const TOKEN = 'correct horse battery staple';

let upstream;
let browser;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
});

after(() => stop(browser, upstream));

test('other machines are not let in without a token', async () => {
  const { code, said } = await refused(['--console-listen', '0.0.0.0:0']);
  assert.equal(code, 1);
  assert.match(said, /--console-listen: 0\.0\.0\.0:0 can be reached from other machines: set AI_TRACING_CONSOLE_TOKEN/);
});

test('the token opens the console, and signing out closes it', async () => {
  const gateway = await startGateway(upstream, { args: ['--console-listen', '0.0.0.0:0'], env: { AI_TRACING_CONSOLE_TOKEN: TOKEN } });
  try {
    await gateway.send({ model: 'gpt-4o' });
    const page = await browser.page();
    await page.goto(`${gateway.url}/?model=gpt*`);
    await page.getByLabel('Token').fill('wrong horse battery staple');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('That is not the token.').waitFor();
    await page.getByLabel('Token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await rows(page).first().waitFor();
    assert.equal(new URL(page.url()).search, '?model=gpt*', 'where one wanted to go');
    assert.ok(!(await page.evaluate(() => document.cookie)), 'scripts do not see the cookie');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    assert.equal(await rows(page).count(), 0);
    const answer = await fetch(`${gateway.url}/api/v1/calls`, { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(answer.status, 200);
    assert.ok(!gateway.log().includes(TOKEN));
  } finally {
    await gateway.stop();
  }
});

test('a damaged store is told on the page, and calls pass all the same', async () => {
  const gateway = await startGateway(upstream);
  try {
    await gateway.send();
    await gateway.stored(1);
    const page = await browser.page();
    await page.goto(gateway.url);
    await rows(page).first().waitFor();
    for (const name of readdirSync(gateway.data).filter((name) => name.startsWith('traces.db'))) writeFileSync(path.join(gateway.data, name), 'no database '.repeat(4000));
    await page.reload();
    await page.getByText(/cannot read/).waitFor();
    assert.equal((await gateway.send()).status, 200);
    // The next calls begin a new file, and the page shows them.
    await until(async () => (await gateway.send()) && (await fetch(`${gateway.url}/api/v1/calls`)).ok, 'a store that can be read');
    await page.reload();
    await rows(page).first().waitFor();
  } finally {
    await gateway.stop();
  }
});
