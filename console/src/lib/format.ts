// How values are shown. Unknown is a dash, never 0.

export const UNKNOWN = '–';

const grouped = new Intl.NumberFormat('en-US');

export function count(value: number | null | undefined): string {
  return value == null ? UNKNOWN : grouped.format(value);
}

/** 950, 12.3k, 4.56M: three digits. */
export function compact(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  for (const [size, unit] of [[1e9, 'B'], [1e6, 'M'], [1e4, 'k']] as const) {
    if (Math.abs(value) >= size) {
      const scaled = value / (unit === 'k' ? 1e3 : size);
      return `${scaled.toPrecision(3).replace(/\.0+$/, '')}${unit}`.replace(/e\+\d+/, '');
    }
  }
  return grouped.format(value);
}

export function duration(ms: number | null | undefined): string {
  if (ms == null) return UNKNOWN;
  if (ms === 0) return '0 ms';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** From the first call's begin to the last one's; of one call nobody knows. */
export function lasted({ calls, first, last }: { calls: number; first: string; last: string }): string {
  return calls > 1 ? duration(Date.parse(last) - Date.parse(first)) : UNKNOWN;
}

/** Of less than a cent so many digits count. */
export function dollars(value: number | null | undefined, digits = 2): string {
  if (value == null) return UNKNOWN;
  if (value === 0) return '$0';
  if (value < 0.000001) return '<$0.000001';
  if (value < 0.01) return `$${Number(value.toPrecision(digits)).toFixed(4 + digits).replace(/0+$/, '')}`;
  if (value < 1) return `$${value.toFixed(4).replace(/0+$/, '')}`;
  return `$${value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`;
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
  return `${(value / 1024 ** 3).toFixed(2)} GiB`;
}

export function percent(part: number, whole: number): string {
  if (!whole) return UNKNOWN;
  const share = (part / whole) * 100;
  if (share > 0 && share < 0.1) return '<0.1 %';
  return `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

export function perSecond(value: number | null | undefined): string {
  return value == null ? UNKNOWN : `${value < 10 ? value.toFixed(1) : compact(Math.round(value))}/s`;
}

const pad = (value: number, digits = 2) => String(value).padStart(digits, '0');

export function clock(time: string, millis = false): string {
  const at = new Date(time);
  const text = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return millis ? `${text}.${pad(at.getMilliseconds(), 3)}` : text;
}

/** The clock alone for today, with the date otherwise. */
export function when(time: string, now = new Date()): string {
  const at = new Date(time);
  if (at.toDateString() === now.toDateString()) return clock(time);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(time)}`;
}

/** As `when`, without the year while no other is meant. */
export function shortly(time: string, now = new Date()): string {
  const text = when(time, now);
  const isNear = Math.abs(now.getTime() - Date.parse(time)) < 300 * 86_400_000;
  return isNear ? text.replace(/^\d{4}-(?=\d\d-)/, '') : text;
}

/** Local date and time to the millisecond, and the zone. */
export function exactly(time: string): string {
  const at = new Date(time);
  const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const offset = -at.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  return `${date} ${clock(time, true)} (UTC${zone})`;
}

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 };

/** A moment as the URL has it, a time or so long ago; null for none. */
export function ago(text: string, now = new Date()): Date | null {
  const [, length, unit] = /^(\d+(?:\.\d+)?)(ms|[smhdw])$/.exec(text) ?? [];
  if (length && unit) return new Date(now.getTime() - Number(length) * UNITS[unit]!);
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : new Date(at);
}

/** A moment as a field for local date and time takes it. */
export function forField(at: Date | null): string {
  return at ? `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${clock(at.toISOString())}` : '';
}

export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
