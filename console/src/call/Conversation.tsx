import { useState } from 'preact/hooks';
import type { CallRecord, Choice, Media, Message, ToolCall } from '../lib/api';
import { bytes, count, pretty } from '../lib/format';
import { Copy } from './Copy';
import { Text } from './Text';

/** Messages that are shown at first: the last ones. */
const LAST = 40;

/** What a call added to its conversation: the messages after the last answer, and the next one. Instructions come again
 * with each call, and are shown with the first. */
export function Turn({ record, first }: { record: CallRecord; first: boolean }) {
  const messages = record.request.messages ?? [];
  const added = messages.slice(messages.findLastIndex((message) => message.role === 'assistant') + 1);
  const news = added.filter((message) => first || !['system', 'developer'].includes(message.role));
  return (
    <>
      {news.length > LAST && <p class="quiet">The last {LAST} of {count(news.length)} new messages:</p>}
      {news.slice(-LAST).map((message, index) => <MessageView key={index} message={message} tools={toolNames(messages)} plain={false} />)}
      <Outcome record={record} plain={false} />
    </>
  );
}

/** The conversation as it reads. */
export function Conversation({ record }: { record: CallRecord }) {
  const [plain, setPlain] = useState(false);
  const [shown, setShown] = useState(LAST);
  const { request, response } = record;
  const messages = request.messages ?? [];
  const hidden = Math.max(0, messages.length - shown);
  const tools = toolNames(messages);
  // Some wire formats have their instructions beside the messages.
  const total = request.message_count == null ? null : Math.max(request.message_count, messages.length);
  const isEmpty = !messages.length && !hasContent(firstChoice(record)) && !response.media?.length && !record.error;
  return (
    <div class="conversation">
      <div class="controls">
        {total != null && <span class="quiet">{count(total)} {total === 1 ? 'message' : 'messages'} sent</span>}
        <span class="spacer" />
        <button type="button" class="link" aria-pressed={plain} onClick={() => setPlain(!plain)}>{plain ? 'Show formatted' : 'Show as sent'}</button>
      </div>
      {isEmpty && <p class="quiet">The record holds no content: it was not captured, or there was none.</p>}
      {hidden > 0 && <button type="button" class="more" onClick={() => setShown(shown * 4)}>Show earlier messages ({count(hidden)} more)</button>}
      {messages.slice(hidden).map((message, index) => <MessageView key={hidden + index} message={message} tools={tools} plain={plain} />)}
      <Outcome record={record} plain={plain} />
    </div>
  );
}

function firstChoice({ response }: CallRecord): Choice {
  const { text, reasoning, refusal, tool_calls } = response;
  return { text, reasoning, refusal, tool_calls, finish_reason: response.finish_reasons?.[0] ?? null };
}

/** What came of a call: the answer, the error, and what else is known of its end. */
function Outcome({ record, plain }: { record: CallRecord; plain: boolean }) {
  const { response } = record;
  const answer = firstChoice(record);
  return (
    <>
      {hasContent(answer) && <Answer choice={answer} plain={plain} title="assistant" media={response.media} />}
      {!hasContent(answer) && !!response.media?.length && <article class="message answer"><MediaList media={response.media} /></article>}
      {response.more_choices?.map((choice, index) => <Answer key={index} choice={choice} plain={plain} title={`assistant, choice ${index + 2}`} />)}
      {response.embedding_dims != null && <p class="quiet">{count(response.embedding_count ?? null)} embedding vectors of {count(response.embedding_dims)} dimensions</p>}
      {record.error && (
        <article class="message failed" aria-label="Error">
          <h3>error{record.error.type && <> · <bdi>{record.error.type}</bdi></>}</h3>
          <pre class="plain" dir="auto" tabIndex={0}>{record.error.message ?? 'The provider gave no message.'}</pre>
        </article>
      )}
      {record.end !== 'complete' && <p class="end">The call did not come to its end: {record.end.replace('_', ' ')}.</p>}
      {record.issues?.map((issue) => <p class="end" key={issue}>{issue}</p>)}
    </>
  );
}

function hasContent(choice: Choice): boolean {
  return !!(choice.text || choice.reasoning || choice.refusal || choice.tool_calls?.length);
}

/** Names of tools by the ids of their calls, for the messages that answer them. */
function toolNames(messages: Message[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const message of messages)
    for (const call of message.tool_calls ?? []) if (call.id && call.name) names.set(call.id, call.name);
  return names;
}

function MessageView({ message, tools, plain }: { message: Message; tools: Map<string, string>; plain: boolean }) {
  const tool = message.tool_call_id ? (tools.get(message.tool_call_id) ?? message.tool_call_id) : message.name;
  const parts = typeof message.content === 'string' ? [{ type: 'text' as const, text: message.content }] : (message.content ?? []);
  // What a tool returns is JSON as a rule.
  const isTool = message.role === 'tool' || message.role === 'function';
  return (
    <article class={`message ${['system', 'developer', 'user', 'assistant', 'tool'].includes(message.role) ? message.role : 'other'}`} aria-label={`Message of ${message.role}`}>
      <h3><bdi>{message.role}</bdi>{tool && <> · <bdi>{tool}</bdi></>}</h3>
      {message.reasoning && <Reasoning text={message.reasoning} />}
      {parts.map((part, index) =>
        part.type === 'text' ? <Text key={index} text={isTool ? pretty(part.text) : part.text} plain={plain || isTool} />
        : part.type === 'media' ? <MediaList key={index} media={[part]} />
        : <Json key={index} value={part.value} />)}
      {message.refusal && <p class="refusal">Refusal: <bdi>{message.refusal}</bdi></p>}
      {message.tool_calls?.map((call, index) => <ToolCallView key={index} call={call} />)}
    </article>
  );
}

function Answer({ choice, plain, title, media }: { choice: Choice; plain: boolean; title: string; media?: Media[] }) {
  return (
    <article class="message answer" aria-label="Answer">
      <h3>
        {title}
        {choice.finish_reason && <> · <bdi>{choice.finish_reason}</bdi></>}
        <span class="spacer" />
        {choice.text && <Copy label="Copy" text={() => choice.text ?? ''} />}
      </h3>
      {choice.reasoning && <Reasoning text={choice.reasoning} />}
      {choice.text && <Text text={choice.text} plain={plain} />}
      {choice.refusal && <p class="refusal">Refusal: <bdi>{choice.refusal}</bdi></p>}
      {choice.tool_calls?.map((call, index) => <ToolCallView key={index} call={call} />)}
      {media && <MediaList media={media} />}
    </article>
  );
}

function Reasoning({ text }: { text: string }) {
  return (
    <details class="reasoning">
      <summary>Reasoning ({count(text.length)} characters)</summary>
      <Text text={text} plain={false} />
    </details>
  );
}

function ToolCallView({ call }: { call: ToolCall }) {
  return (
    <div class="tool-call">
      <h4><span aria-hidden="true">ƒ </span><bdi>{call.name ?? 'tool'}</bdi></h4>
      {call.arguments && <Text text={pretty(call.arguments)} plain />}
    </div>
  );
}

export function Json({ value }: { value: unknown }) {
  return <Text text={JSON.stringify(value, null, 2)} plain />;
}

/** Only what browsers draw without running anything: no SVG. */
const DRAWN = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

function MediaList({ media }: { media: Media[] }) {
  return (
    <div class="media">
      {media.map((item, index) => (
        <figure key={index}>
          {item.content && DRAWN.includes(item.mime_type ?? '') && /^[A-Za-z0-9+/=\s]+$/.test(item.content) && (
            <img src={`data:${item.mime_type};base64,${item.content}`} alt={`${item.modality} of the conversation`} />
          )}
          <figcaption>
            {item.modality} <bdi>{item.mime_type}</bdi> {item.bytes != null && bytes(item.bytes)}
            {item.uri && <> · <bdi>{item.uri}</bdi></>}
            {item.file_id && <> · file <bdi>{item.file_id}</bdi></>}
          </figcaption>
        </figure>
      ))}
    </div>
  );
}
