// The documentation's pictures of the console: `make console-images`.
//
// The calls are real ones through a gateway, to an upstream that takes its time as a model does. They are made within
// seconds and then dated back over an hour, in the order in which they were made.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { ROOT, failure, rows, startBrowser, startGateway, startUpstream, stop } from './harness.mjs';

const IMAGES = path.join(ROOT, 'docs/images');
const MINUTES = 58;
const MODELS = ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'o3-mini'];
const USERS = ['ana.souza', 'ben', 'chloe@acme.dev', 'dmitri', 'eun-ji', 'farid'];
const SYSTEM = 'You are the support assistant of Acme. Answer briefly.';

/** What people ask in one session, and what they are told. */
const STORIES = [
  [
    ['Was invoice 4711 paid?', '**Yes.** It was paid on *3 March*, by bank transfer.\n\n1. Open the ledger\n2. Filter by `invoice_id`\n\n```sql\nSELECT paid_at, method FROM invoices WHERE id = 4711;\n```'],
    ['And 4712?', 'Not yet: it is due on 14 March. A reminder went out this morning.'],
    ['Send another one on the 15th, please.', 'Noted. If it is still open on 15 March, the customer gets a second reminder with the invoice attached.'],
  ],
  [
    ['Which plan fits a team of five?', 'The **Team** plan:\n\n| plan | seats | price |\n| --- | ---: | ---: |\n| Team | 10 | $20 |\n| Pro | 50 | $45 |\n\nYou can change it at any time.'],
    ['What happens when we are eleven?', 'You keep working. We write to you, and the eleventh seat is billed from the next month on.'],
  ],
  [
    ['Where is my order 88-1203?', 'It left Porto this morning and arrives on Thursday, between 9 and 12.'],
    ['Can it go to the neighbour?', 'Yes. I have asked the carrier to leave it at number 14 if nobody opens.'],
    ['Great, thanks!', 'You are welcome.'],
  ],
  [
    ['Summarise the incident of last week.', 'A certificate expired at 02:10. Two regions answered with errors for eleven minutes.\n\n- **Cause:** the renewal job had lost its permission\n- **Since then:** the job alerts when it fails, and two days before a certificate ends'],
    ['Who was on call?', 'Eun-ji. The page went out at 02:12, and the new certificate was in place at 02:21.'],
  ],
];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** The same numbers in every run. */
let state = 20;
const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
const between = (low, high) => low + random() * (high - low);

/** A chat completion that comes as a model writes it: a wait, then word by word, or the whole of it at once. */
function written(content, stream, prompt) {
  const words = content.split(/(?<=\s)/);
  const first = between(220, 900);
  const each = between(12, 40);
  const tokens = Math.round(words.length * 1.4);
  const usage = { prompt_tokens: prompt, completion_tokens: tokens, total_tokens: prompt + tokens, prompt_tokens_details: { cached_tokens: prompt > 1024 ? 1024 : 0 } };
  return (body) => ({
    type: stream ? 'text/event-stream' : 'application/json',
    async write(response) {
      const common = { id: 'chatcmpl-BQ8x2', model: body.model };
      if (!stream) {
        await pause(first + each * words.length);
        const choices = [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content } }];
        return response.end(JSON.stringify({ ...common, object: 'chat.completion', choices, usage }));
      }
      const chunk = (choices, more) => response.write(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices, ...more })}\n\n`);
      await pause(first);
      for (const word of words) {
        chunk([{ index: 0, delta: { content: word } }]);
        await pause(each);
      }
      chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]);
      chunk([], { usage });
      response.end('data: [DONE]\n\n');
    },
  });
}

/** One user's session; how many calls it was. */
async function session(gateway, number) {
  const messages = [{ role: 'system', content: SYSTEM }];
  const story = STORIES[number % STORIES.length];
  const model = MODELS[(number * 7) % 5 % MODELS.length];
  const stream = number % 3 !== 2;
  let prompt = Math.round(between(300, 1900));
  await pause(between(0, 2500));
  for (const [turn, [question, text]] of story.entries()) {
    messages.push({ role: 'user', content: question });
    const refused = number % 11 === 5 && turn === 1;
    const reply = refused ? failure(429, 'Rate limit reached on tokens per minute.', 'rate_limit_exceeded') : written(text, stream, prompt);
    await gateway.send({
      model, messages, stream, reply, temperature: 0.7, stream_options: stream ? { include_usage: true } : undefined,
      headers: { 'x-user-id': USERS[number % USERS.length], 'x-session-id': `s-${1000 + number}`, 'x-project-id': number % 3 ? 'support' : 'docs' },
    });
    messages.push({ role: 'assistant', content: text });
    prompt += 80;
  }
  return story.length;
}

const upstream = await startUpstream();
const browser = await startBrowser();
const gateway = await startGateway(upstream, { env: { LANGFUSE_PUBLIC_KEY: 'pk', LANGFUSE_SECRET_KEY: 'sk', LANGFUSE_HOST: upstream.url } });
try {
  const counts = await Promise.all(Array.from({ length: 36 }, (_, number) => session(gateway, number)));
  const calls = counts.reduce((sum, count) => sum + count);
  await gateway.stored(calls);
  execFileSync('python3', ['-c', `
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], timeout=30)
with store:
    store.execute("UPDATE calls SET started_at = started_at - ((SELECT max(seq) FROM calls) - seq) * ? - (seq * 7919) % 17 * 1000000", (${MINUTES * 60e6} // ${calls},))
`, path.join(gateway.data, 'traces.db')]);
  const stored = await gateway.stored(calls);
  const shown = stored.find((call) => call.stream && call.session_id === 's-1012' && call.status === 200);
  const pages = { calls: '/', call: `/?call=${stored.filter((call) => call.session_id === shown.session_id).at(-1).id}`, overview: '/overview?range=1h', story: `/sessions/${shown.session_id}?as=story` };
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.page({ colorScheme });
    for (const [name, url] of Object.entries(pages)) {
      await page.goto(gateway.url + url);
      await (name === 'overview' ? page.locator('canvas').first() : name === 'story' ? page.locator('.message').first() : rows(page).first()).waitFor();
      if (name === 'call') await page.locator('.panel .message').first().waitFor();
      await page.waitForFunction(() => !document.body.innerText.includes('Loading'));
      await page.screenshot({ path: path.join(IMAGES, `console-${name}-${colorScheme}.png`) });
    }
  }
} finally {
  await stop(browser, gateway, upstream);
}
