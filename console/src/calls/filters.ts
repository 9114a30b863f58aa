// Filters as they stand in the URL, and as people type them: `user:alice status:5xx "rate limit"`.

export interface FilterKey {
  name: string;
  label: string;
  example: string;
  /** The list of values that the API offers. */
  values?: string;
}

/** Every filter that has a value, in the order in which they are offered. */
export const KEYS: FilterKey[] = [
  { name: 'user', label: 'User', example: 'user:alice' },
  { name: 'session', label: 'Session', example: 'session:s-42' },
  { name: 'model', label: 'Model', example: 'model:gpt-4*', values: 'model' },
  { name: 'provider', label: 'Provider', example: 'provider:openai', values: 'provider' },
  { name: 'status', label: 'Status', example: 'status:5xx' },
  { name: 'delivery', label: 'Delivery', example: 'delivery:failed' },
  { name: 'slower_than', label: 'Slower than', example: 'slower_than:2s' },
  { name: 'first_token_slower_than', label: 'First token slower than', example: 'first_token_slower_than:500ms' },
  { name: 'project', label: 'Project', example: 'project:search', values: 'project' },
  { name: 'organization', label: 'Organization', example: 'organization:acme', values: 'organization' },
  { name: 'environment', label: 'Environment', example: 'environment:production' },
  { name: 'service', label: 'Service', example: 'service:openai' },
  { name: 'route', label: 'Route', example: 'route:chat' },
  { name: 'chat', label: 'Chat', example: 'chat:c-7' },
];

const names = new Set(KEYS.map((key) => key.name));

export const RANGES: [string, string][] = [
  ['', 'Any time'],
  ['15m', 'Last 15 minutes'],
  ['1h', 'Last hour'],
  ['6h', 'Last 6 hours'],
  ['1d', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['30d', 'Last 30 days'],
];

/** Splits at spaces outside of quotation marks. */
function pieces(text: string): string[] {
  return text.match(/(?:[^\s"]+:)?"[^"]*"|\S+/g) ?? [];
}

/** What is typed, as filters and the words that are left. */
export function parse(text: string): { filters: Record<string, string>; words: string } {
  const filters: Record<string, string> = {};
  const words: string[] = [];
  for (const piece of pieces(text)) {
    const colon = piece.indexOf(':');
    const name = piece.slice(0, colon);
    const value = piece.slice(colon + 1).replace(/^"(.*)"$/, '$1');
    if (colon > 0 && names.has(name) && value) filters[name] = value;
    else if (piece === 'is:error') filters.errors = 'true';
    else words.push(piece);
  }
  return { filters, words: words.join(' ') };
}

/** The first of the words that looks like a filter and is none; '' where there is no such. */
export function noFilter(words: string): string {
  return pieces(words).find((word) => /^[a-z_]+:[^\s/]/.test(word)) ?? '';
}

/** The URL's parameters that the API understands. */
export function query(params: URLSearchParams): URLSearchParams {
  const asked = new URLSearchParams();
  for (const name of [...names, 'search', 'errors', 'since', 'until']) {
    const value = params.get(name);
    if (value) asked.set(name, value);
  }
  return asked;
}

export function isFiltered(params: URLSearchParams): boolean {
  return query(params).size > 0;
}
