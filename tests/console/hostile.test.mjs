// What a trace holds is anybody's: none of it may act, ask for anything, or break the page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, failure, rows, startBrowser, startGateway, startUpstream, stop } from './harness.mjs';

const TEXTS = [
  '<script>window.hit = 1</script>',
  '<img src=x onerror="window.hit = 1">',
  '<svg onload="window.hit = 1"><animate onbegin="window.hit = 1" attributeName=x dur=1s></svg>',
  '<iframe srcdoc="<script>parent.hit = 1</script>"></iframe>',
  '<a href="javascript:window.hit = 1">click</a>',
  '[click](javascript:window.hit=1)',
  '[click](  JaVaScRiPt:window.hit=1)',
  '[click](data:text/html,<script>window.hit=1</script>)',
  '[click](vbscript:msgbox(1))',
  '![picture](http://evil.test/pixel.png)',
  '![x](x"onerror="window.hit=1)',
  '[x](http://evil.test/"onmouseover="window.hit=1)',
  '<style>@import "http://evil.test/x.css"; * { display: none }</style>',
  '<link rel=stylesheet href=http://evil.test/x.css>',
  '<base href="http://evil.test/"><form action="http://evil.test"><input name=a><button>go</button></form>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hit=1&gt;">',
  '<noscript><p title="</noscript><img src=x onerror=window.hit=1>">',
  '```html\n</code></pre><script>window.hit = 1</script>\n```',
  '`</code><img src=x onerror=window.hit=1>`',
  '| a |\n| --- |\n| <img src=x onerror=window.hit=1> |',
  '{{constructor.constructor("window.hit=1")()}} ${window.hit=1} <%= 1 %>',
  '"><script>window.hit = 1</script><"',
  '</textarea></title></script><script>window.hit = 1</script>',
  '\u202Egnp.exe\u202C \u2066\u2067 \u200F mixed \u05D0\u05D1\u05D2 \u0627\u0644\u0644',
  '\u0000\u0001\u001b[31mred\u001b[0m \uFFFF \uD800',
  '&lt;script&gt;window.hit=1&lt;/script&gt;',
  '<div id=app>clobber</div><form id=body><input name=attributes></form>',
];

let upstream;
let gateway;
let browser;

before(async () => {
  upstream = await startUpstream();
  browser = await startBrowser();
  gateway = await startGateway(upstream);
});

after(() => stop(browser, gateway, upstream));

/** Nothing acted, and the page spoke to its own server alone. */
async function harmless(page) {
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.deepEqual(page.wrong, []);
  const foreign = page.asked.filter((url) => !url.startsWith(gateway.url) && !url.startsWith('data:image/'));
  assert.deepEqual(foreign, []);
  assert.equal(await page.evaluate(() => document.querySelectorAll('#app script, #app iframe, #app style, #app link, #app form[action], #app base').length), 0);
  const links = await page.evaluate(() => [...document.querySelectorAll('.panel a')].map((link) => link.href));
  for (const link of links) assert.match(link, /^(https?|mailto):/);
}

test('hostile content is shown as the text that it is', async () => {
  for (const text of TEXTS) {
    const header = text.replace(/[^\x20-\x7e]/g, '');
    await gateway.send({
      model: text,
      messages: [{ role: 'system', content: text }, { role: text, content: text, name: text }, { role: 'assistant', content: null, tool_calls: [{ id: text, type: 'function', function: { name: text, arguments: text } }] }, { role: 'tool', tool_call_id: text, content: text }],
      headers: { 'x-user-id': header, 'x-session-id': header, 'x-project-id': header },
      metadata: { note: text, [text]: text },
      reply: answer(text, { message: { reasoning_content: text, refusal: text, tool_calls: [{ id: text, type: 'function', function: { name: text, arguments: text } }] }, finish: text }),
    });
    await gateway.send({ model: text, text, reply: failure(500, text, text) });
  }
  const calls = await gateway.stored(TEXTS.length * 2);
  const page = await browser.page();
  await page.goto(gateway.url);
  await rows(page).first().waitFor();
  for (const call of calls) {
    for (const view of ['', '&view=details', '&view=json']) {
      // Inside the page, as a person walks through it.
      await page.evaluate((to) => {
        history.pushState(null, '', to);
        dispatchEvent(new PopStateEvent('popstate'));
      }, `/?call=${call.id}${view}`);
      await page.locator(view ? '.panel [aria-selected=true]' : '.panel .message').first().waitFor();
      await page.waitForFunction((id) => document.querySelector(`#row-${id}`)?.getAttribute('aria-selected') === 'true' || !document.querySelector(`#row-${id}`), call.id);
    }
    await harmless(page);
  }
  for (const path of ['/sessions', '/users', '/overview?by=project', '/overview', '/settings']) {
    await page.goto(gateway.url + path);
    await page.locator('.page h1').waitFor();
    await page.waitForFunction(() => !document.body.innerText.includes('Loading'));
    await harmless(page);
  }
  await page.goto(`${gateway.url}/?search=${encodeURIComponent(TEXTS[0])}&user=${encodeURIComponent(TEXTS[1])}&call=${encodeURIComponent(TEXTS[2])}`);
  await page.getByText('No call or trace with this id').waitFor();
  await harmless(page);
});

test('markdown is laid out, and what it may not do is text', async () => {
  const text = 'Before <b onclick="window.hit=1">bold</b> after\n\n# Title\n\n[safe](https://example.com/a?b=c) ![alt text](http://evil.test/p.png)';
  await gateway.send({ text: 'markdowncase', reply: answer(text) });
  await gateway.stored(TEXTS.length * 2 + 1);
  const page = await browser.page();
  await page.goto(`${gateway.url}/?search=markdowncase`);
  await rows(page).first().click();
  const shown = page.locator('.answer .markdown');
  await shown.waitFor();
  assert.match(await shown.innerText(), /Before <b onclick="window\.hit=1">bold<\/b> after/);
  const links = await shown.locator('a').evaluateAll((links) => links.map((link) => [link.getAttribute('href'), link.rel, link.target]));
  assert.deepEqual(links, [
    ['https://example.com/a?b=c', 'noopener noreferrer nofollow', '_blank'],
    ['http://evil.test/p.png', 'noopener noreferrer nofollow', '_blank'],
  ]);
  assert.equal(await shown.locator('img').count(), 0);
  await harmless(page);
});

test('a message of megabytes opens at once, and is shown piece by piece', async () => {
  const text = `hugecase ${'word '.repeat(1_000_000)}`;
  await gateway.send({ text, reply: answer('Read.') });
  await gateway.stored(TEXTS.length * 2 + 2);
  const page = await browser.page();
  await page.goto(gateway.url);
  await rows(page).first().click();
  const more = page.getByRole('button', { name: /^Show more/ }).first();
  await more.waitFor();
  const length = () => page.locator('.message.user .text').evaluate((node) => node.textContent.length);
  const before = await length();
  assert.ok(before < 10_000, `${before}`);
  await more.click();
  await page.waitForFunction((before) => document.querySelector('.message.user .text').textContent.length > before * 10, before);
  await page.keyboard.press('3');
  await page.getByText('"schema_version": 1').waitFor();
  await harmless(page);
});
