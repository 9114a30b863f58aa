import type { CallRecord, Message } from '../lib/api';
import { type Fields, type Http, encode, isHidden, scheme, target } from './http/types';

/** Where the gateway listens unless told otherwise. Never what the request named: it may be anybody's. */
const GATEWAY = 'http://localhost:8000';

/** Headers that a client makes by itself, or that belong to the call that was. */
const ITS_OWN = new Set([
  'accept-encoding', 'connection', 'content-encoding', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'traceparent', 'tracestate',
  'trailer', 'transfer-encoding', 'upgrade',
]);
/** What stands in the place of a value that may be content. */
const LEFT_OUT = '[left out]';
/** Headers of which each carries the provider's key. */
const KEYS = new Set(['authorization', 'api-key', 'x-api-key', 'x-goog-api-key']);

/** The request again: of what is kept of it, else of the record; '' where neither holds all that it takes. */
export function curl(record: CallRecord, http: Http | null): string {
  const body = http ? sent(http) ?? made(record) : made(record);
  if (body === null) return '';
  if (!http) return command(record.method, quote(GATEWAY + path(record.name)), ["-H 'content-type: application/json'", '-H "authorization: Bearer $API_KEY"'], body);
  const { request } = http;
  if (request.query.left_out || request.headers.left_out) return '';
  // The quotation marks are closed in front of a variable, and opened behind it.
  const show = (value: string, name: string) => (isHidden(value) ? `'"$${variable(name)}"'` : encode(value));
  const url = target({ ...request, path: path(request.path) }, show);
  return command(request.method, `'${GATEWAY}${url}'`, headers(request.headers), body);
}

/** Bytes that one argument of a command may have, with room to spare: Linux takes 128 KiB. */
const ARGUMENT = 100_000;

function command(method: string, url: string, headers: string[], body: string): string {
  const verb = (method === 'POST' && body) || (method === 'GET' && !body) ? [] : [`-X ${quote(method)}`];
  const line = ['curl -g', ...verb, url, ...headers].join(' ');
  const whole = !body ? line : new TextEncoder().encode(body).length <= ARGUMENT ? `${line} --data-raw ${quote(body)}` : piped(line, body);
  // Some terminals take control characters of what is pasted for keys.
  return /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/.test(whole) ? '' : whole;
}

/** With a body by standard input, which may have any length. */
function piped(line: string, body: string): string {
  let end = 'END';
  while (body.includes(end)) end += '_';
  return `${line} --data-binary @- <<'${end}'\n${body}\n${end}`;
}

/** The body as it was sent; null where it is not kept whole, or is no text. */
function sent({ request }: Http): string | null {
  if (request.body_bytes === 0) return '';
  const { body } = request;
  return body && !body.missing && 'text' in body.start ? body.start.text : null;
}

function headers({ fields }: Fields): string[] {
  return fields
    // What is no token is nothing that curl would take, nor a shell.
    .filter(([name, value]) => !ITS_OWN.has(name.toLowerCase()) && /^[A-Za-z0-9_-]+$/.test(name) && value !== LEFT_OUT)
    .map(([name, value]) => (isHidden(value) ? `-H "${name}: ${scheme(value)}$${variable(name)}"` : `-H ${quote(value ? `${name}: ${value}` : `${name};`)}`));
}

/** What the user sets before: `$API_KEY`, `$COOKIE`. */
function variable(name: string): string {
  const lower = name.toLowerCase();
  if (KEYS.has(lower) || lower === 'key') return 'API_KEY';
  return lower.toUpperCase().replace(/[^A-Z0-9]+/g, '_').replace(/^(?=[0-9]|$)/, '_');
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** A path of this gateway, whatever stood in the request. */
const path = (name: string) => (name.startsWith('/') ? name : `/${name}`).replaceAll("'", '%27');

/** The body of an OpenAI chat, made of the record; null where it does not hold what the wire format needs. */
function made(record: CallRecord): string | null {
  if (record.dialect !== 'openai_chat' || !record.request.model || !record.request.messages?.length) return null;
  const messages = record.request.messages.map(message);
  if (messages.includes(null)) return null;
  const { params, tools, stream, model } = record.request;
  return JSON.stringify({ model, messages, ...params, ...(tools?.length ? { tools } : {}), ...(stream ? { stream: true } : {}) }, null, 2);
}

/** A message as it is sent; null where its content was not kept whole. */
function message(message: Message): Record<string, unknown> | null {
  const { role, content, name, tool_calls, tool_call_id } = message;
  if (Array.isArray(content) && content.some((part) => part.type !== 'text')) return null;
  if (content == null && !tool_calls?.length) return null;
  return {
    role,
    content,
    ...(name ? { name } : {}),
    ...(tool_call_id ? { tool_call_id } : {}),
    ...(tool_calls?.length ? { tool_calls: tool_calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })) } : {}),
  };
}
