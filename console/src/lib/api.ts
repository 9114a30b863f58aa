// The gateway's JSON API: docs/api/openapi.yaml.

export interface Summary {
  seq: number;
  cursor: string;
  id: string;
  trace_id: string;
  started_at: string;
  name: string;
  service: string | null;
  route: string | null;
  provider: string;
  model: string | null;
  operation: string;
  stream: boolean;
  user_id: string | null;
  session_id: string | null;
  status: number | null;
  end: string;
  is_error: boolean;
  has_error: boolean;
  tokens_in: number | null;
  tokens_cached: number | null;
  tokens_out: number | null;
  tokens_reasoning: number | null;
  estimated: boolean;
  ttft_ms: number | null;
  duration_ms: number;
  tps: number | null;
  cost: number | null;
}

export interface CallsPage {
  calls: Summary[];
  next: string | null;
  looked_back_to: string | null;
  position: number;
}

export interface ToolCall {
  id: string | null;
  name: string | null;
  arguments: string | null;
}

export interface Media {
  modality: string;
  mime_type?: string;
  uri?: string;
  file_id?: string;
  bytes?: number;
  sha256?: string;
  content?: string;
}

export type Part = { type: 'text'; text: string } | ({ type: 'media' } & Media) | { type: 'other'; value: unknown };

/** OTLP's JSON. */
export interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
  doubleValue?: number;
  arrayValue?: { values: AnyValue[] };
}

export interface Attribute {
  key: string;
  value: AnyValue | null;
}

export interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status?: { message: string; code: number };
}

export interface Exported {
  destination: string;
  request: { resourceSpans: { resource: { attributes: Attribute[] } | null; scopeSpans: { spans: Span[] }[] }[] };
}

export interface Message {
  role: string;
  content: string | Part[] | null;
  name?: string;
  reasoning?: string;
  refusal?: string;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
}

export interface Choice {
  text: string | null;
  reasoning?: string | null;
  refusal?: string | null;
  tool_calls?: ToolCall[];
  finish_reason?: string | null;
}

/** docs/record.md; only what this page reads by name. */
export interface CallRecord {
  id: string;
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  provider: string;
  dialect: string;
  operation: string;
  stream: boolean;
  status: number | null;
  end: string;
  error: { type: string | null; message: string | null } | null;
  issues?: string[];
  name: string;
  method: string;
  service: string | null;
  route: string | null;
  consumer: string | null;
  server: { address: string | null; port: number | null };
  context: { [name: string]: unknown; metadata: Record<string, unknown> };
  request: {
    model: string | null;
    stream: boolean;
    message_count: number | null;
    params: Record<string, unknown>;
    messages: Message[];
    tools?: unknown[];
  };
  response: {
    id: string | null;
    model: string | null;
    text: string | null;
    reasoning: string | null;
    refusal: string | null;
    tool_calls: ToolCall[];
    finish_reasons: string[];
    more_choices?: Choice[];
    embedding_dims: number | null;
    embedding_count?: number;
    media?: Media[];
    extra?: Record<string, unknown>;
    [name: string]: unknown;
  };
  usage: {
    input: number | null;
    output: number | null;
    total: number | null;
    cache_read: number | null;
    cache_write: number | null;
    reasoning: number | null;
  };
  tokens_estimated: boolean;
  cost: { input: number; output: number; total: number } | null;
  prompt_length: number | null;
  response_length: number | null;
  timing: {
    started_at: string;
    total_duration_ms: number;
    time_to_first_token_ms: number | null;
    time_per_token_ms: number | null;
    throughput_tokens_per_second: number | null;
    upstream_ms: number | null;
    gateway_ms: number | null;
  };
}

export interface CallDetail {
  call: Summary;
  trace: Summary[];
  trace_goes_on: boolean;
  /** Address of the Langfuse that it goes to. */
  langfuse: string | null;
  record: CallRecord;
}

export type DeliveryState = 'waiting' | 'delivered' | 'failed' | 'dropped' | 'lost' | 'unknown';

/** A call at a destination. */
export interface Delivered {
  destination: number;
  label: string;
  state: DeliveryState;
  reason: string | null;
  at: string;
  retry: boolean;
}

export interface Deliveries {
  deliveries: Delivered[];
}

export interface Totals {
  calls: number;
  errors: number;
  tokens_in: number;
  tokens_cached: number;
  tokens_out: number;
  tokens_reasoning: number;
  cost: number | null;
  without_cost: number;
}

export interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface Sums extends Totals {
  duration: Percentiles;
  ttft: Percentiles;
}

export interface Line {
  name: string | null;
  others: boolean;
  totals: Totals;
  calls: number[];
  tokens: number[];
  cost: number[];
}

export interface Overview extends Sums {
  since: string;
  until: string;
  part_ms: number;
  users: number;
  sessions: number;
  parts: Sums[];
  lines: Line[];
  summed_since: string | null;
}

export interface Session extends Totals {
  id: string;
  first: string;
  last: string;
  busy_ms: number;
  users: string[];
  models: string[];
}

export interface SessionsPage {
  sessions: Session[];
  next: string | null;
  looked_back_to: string | null;
}

export interface UsersPage {
  users: (Totals & { id: string; last: string })[];
  known: number;
  others: number;
  summed_since: string | null;
}

export interface Destination {
  name: string;
  offered: number;
  delivered: number;
  dropped: Record<string, number>;
  waiting: number;
  oldest_seconds: number;
  retries: number;
  failing: string | null;
}

/** A receiver of metrics. */
export interface MetricsReceiver {
  name: string;
  delivered: number;
  rejected: number;
  failures: number;
  failing: string | null;
}

export interface Delivery {
  capture: { held_bytes: number; without_bodies: number };
  export: {
    sink: Record<string, number>;
    records: number;
    unreadable: number;
    sampled_out: number;
    destinations: Destination[];
    metrics: MetricsReceiver[];
  } | null;
  store: {
    rows: number;
    stored: number;
    refused: number;
    aged_out: number;
    crowded_out: number;
    /** Damaged files moved aside. */
    replaced: number;
    file_bytes: number;
    last_error: string | null;
  } | null;
}

export interface Settings {
  version: string;
  hostname: string;
  declarative: boolean;
  options: Record<string, unknown>;
  services: Record<string, unknown>[];
  routes: Record<string, unknown>[];
  plugins: Record<string, unknown>[];
}

export interface Info {
  version: string;
  login: boolean;
}

export type Values = Record<string, string[]>;

/** An answer other than a success; `status` 0: none came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Called when the server asks for the token. */
export let onSignedOut: () => void = () => {};
export function whenSignedOut(handler: () => void) {
  onSignedOut = handler;
}

export async function get<T>(path: string, params?: URLSearchParams, signal?: AbortSignal): Promise<T> {
  const query = params?.toString();
  return ask(`${path}${query ? `?${query}` : ''}`, { signal });
}

/** Asks for something to be done. */
export async function act<T>(path: string): Promise<T> {
  return ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
}

async function ask<T>(path: string, options: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, 'The gateway does not answer.');
  }
  if (response.status === 401) onSignedOut();
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new ApiError(response.status, body?.message ?? `The gateway answered ${response.status}.`);
  }
  return response.json();
}

export async function post(path: string, body: unknown): Promise<Response> {
  return fetch(`/api/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}
