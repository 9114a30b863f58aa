// What became of a call where it was sent, and sending it again.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { rows, startBrowser, startGateway, startUpstream, stop, until } from './harness.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

let upstream;
let browser;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
});

after(() => stop(browser, upstream));

/** A receiver of OTLP that answers traces as it is told, and takes all metrics. */
async function startReceiver(status) {
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => {
      const traces = request.url.endsWith('/v1/traces');
      if (traces) receiver.traces += 1;
      response.writeHead(traces ? receiver.status : 200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver = {
    url: `http://127.0.0.1:${server.address().port}`,
    status,
    traces: 0,
    stop: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
  return receiver;
}

const withReceiver = (receiver) => startGateway(upstream, { env: { AI_TRACING_OTLP_ENDPOINT: receiver.url } });
const section = (page) => page.getByRole('region', { name: 'Delivery', exact: true });

async function violations(page) {
  await page.evaluate(readFileSync(AXE, 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

test('a call that was refused is sent again by keyboard, and found by its filter until then', async () => {
  const receiver = await startReceiver(400);
  const gateway = await withReceiver(receiver);
  try {
    await gateway.send({ text: 'Where is Lisbon?' });
    await gateway.stored(1);
    const page = await browser.page();
    await until(async () => {
      const found = await (await fetch(`${gateway.url}/api/v1/calls?delivery=failed`)).json();
      return found.calls.length === 1;
    }, 'the refusal in the store');
    await page.goto(`${gateway.url}/?delivery=failed`);
    await rows(page).first().click();
    await page.keyboard.press('2');
    await section(page).getByText('Refused').waitFor();
    assert.match(await section(page).innerText(), /otlp http:\/\/127\.0\.0\.1:\d+\/v1\/traces\s+Refused [\d:]+, .* after the call[\s\S]*400/);
    assert.deepEqual(await violations(page), []);

    receiver.status = 200;
    const button = section(page).getByRole('button', { name: /^Send again to otlp/ });
    await button.focus();
    await page.keyboard.press('Enter');
    await section(page).getByText('Sent', { exact: true }).waitFor();
    await button.waitFor({ state: 'detached' });
    await page.waitForFunction(() => /otlp .*: Sent$/.test(document.querySelector('.deliveries [role=status]').textContent));
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Delivery', 'the keyboard stays');
    assert.equal(receiver.traces, 2);
    assert.deepEqual(await violations(page), []);
    await until(async () => (await (await fetch(`${gateway.url}/api/v1/calls?delivery=failed`)).json()).calls.length === 0, 'the delivery in the store');
    await page.goto(`${gateway.url}/?delivery=failed`);
    await page.getByText('No call matches').waitFor();
    assert.deepEqual(page.wrong, []);
  } finally {
    await gateway.stop();
    await receiver.stop();
  }
});

test('a call that waits is shown to arrive, and so are receivers of metrics in the overview', async () => {
  const receiver = await startReceiver(503);
  const gateway = await withReceiver(receiver);
  try {
    await gateway.send();
    const [{ id }] = await gateway.stored(1);
    const page = await browser.page();
    await page.goto(`${gateway.url}/?call=${id}&view=details`);
    await section(page).getByText('Waiting').waitFor();
    await section(page).getByText('503').waitFor();
    assert.equal(await section(page).getByRole('button').count(), 0, 'it is tried again by itself');
    receiver.status = 200;
    await section(page).getByText('Sent', { exact: true }).waitFor();
    await page.goto(`${gateway.url}/overview`);
    await page.getByRole('row', { name: /otlp-metrics http.*\/v1\/metrics/ }).waitFor();
    assert.deepEqual(page.wrong, []);
  } finally {
    await gateway.stop();
    await receiver.stop();
  }
});
