import type { CallRecord, Message } from '../lib/api';

/** The request again, made of the record: '' where the record does not hold what its wire format needs. */
export function curl(record: CallRecord): string {
  if (record.dialect !== 'openai_chat' || !record.request.model || !record.request.messages?.length) return '';
  const messages = record.request.messages.map(message);
  if (messages.includes(null)) return '';
  const { params, tools, stream, model } = record.request;
  const body = { model, messages, ...params, ...(tools?.length ? { tools } : {}), ...(stream ? { stream: true } : {}) };
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const path = record.name.replaceAll("'", '%27');
  return `curl 'http://localhost:8000${path}' -H 'content-type: application/json' -H "authorization: Bearer $API_KEY" -d '${quoted}'`;
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
