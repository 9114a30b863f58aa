// `GET /calls/{id}/http`: docs/api/openapi.yaml.

export type Content = { text: string } | { base64: string };

export interface Body {
  encoding: string | null;
  start: Content;
  missing: { bytes: number | null; why: string } | null;
  end: Content | null;
}

export interface Fields {
  fields: [name: string, value: string][];
  left_out: number;
}

export interface HttpRequest {
  method: string;
  path: string;
  query: Fields;
  headers: Fields;
  body_bytes: number;
  body: Body | null;
}

export interface HttpResponse {
  status: number;
  head_ms: number;
  headers: Fields;
  body_bytes: number;
  body: Body | null;
}

export interface Timeline {
  /** Milliseconds from the call's begin, and bytes as they were sent; without a time: not kept, between its neighbours. */
  chunks: [at: number | null, bytes: number][];
  joined: number;
}

export interface Http {
  request: HttpRequest;
  response: HttpResponse | null;
  bodies: 'kept' | 'not_asked' | 'metadata_only' | 'redacted';
  timeline: Timeline | null;
}

/** What stands in the place of a secret, behind its scheme where there was one. */
const HIDDEN = '****';

/** The scheme of a secret, with a space behind it, or ''; null for what is none. */
export function scheme(value: string): string | null {
  return /^((?:[A-Za-z0-9-]+ )?)\*{4}$/.exec(value)?.[1] ?? null;
}

export const isHidden = (value: string) => scheme(value) !== null;

/** The value of a header; '' where there is none. */
export function header({ fields }: Fields, name: string): string {
  return fields.find(([known]) => known.toLowerCase() === name)?.[1] ?? '';
}

/** Path and query as they stand in a request line; `show` writes a parameter's value. */
export function target({ path, query }: HttpRequest, show = (value: string, _name: string) => (isHidden(value) ? HIDDEN : encode(value))): string {
  const parameters = query.fields.map(([name, value]) => (value === '' ? encode(name) : `${encode(name)}=${show(value, name)}`));
  return parameters.length ? `${path}?${parameters.join('&')}` : path;
}

/** As a parameter is written; an apostrophe as well, which ends a text in a shell. */
export function encode(text: string): string {
  return encodeURIComponent(text).replaceAll("'", '%27');
}

export function bytesOf(content: Content): Uint8Array {
  return 'text' in content ? new TextEncoder().encode(content.text) : Uint8Array.from(atob(content.base64), (char) => char.charCodeAt(0));
}
