/** How audit events are written: JSON lines, CSV (RFC 4180), and a line a person reads. */
import { type AuditRecord, auditMembers } from '../domain/audit-record.js';

/** Spreadsheets take what begins so for a formula, and carry it out: a user agent is whatever somebody sends. */
const FORMULA = /^[=+\-@\t\r\n]/;

function csvField(value: unknown): string {
  const text = typeof value === 'object' ? (value === null ? '' : JSON.stringify(value)) : String(value);
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvLine = (fields: readonly unknown[]): string => `${fields.map(csvField).join(',')}\r\n`;

/** A terminal obeys control characters, and those that turn the direction of what is written. */
const OBEYED = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;
const shown = (text: string): string => text.replaceAll(OBEYED, '?');

export interface AuditFormat {
  head: string;
  line(event: AuditRecord): string;
}

/** JSON, and the same to whoever parses it; but JSON leaves some of these as they are. */
export const exactJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const auditFormats: Record<'jsonl' | 'csv', AuditFormat> = {
  jsonl: { head: '', line: (event) => `${exactJson(event)}\n` },
  csv: { head: csvLine(auditMembers), line: (event) => csvLine(auditMembers.map((member) => event[member])) },
};

/** Of the names that are ordinary; the few that are longer push their line aside. */
const EVENT_WIDTH = 22;

/** What there is, by name, after what every event has. */
export function auditLine({ at, event, outcome, actor, details, ...more }: AuditRecord): string {
  const { id: _, ...members } = more;
  const rest = Object.entries(members)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${/\s/.test(String(value)) ? JSON.stringify(value) : value}`);
  const about = details === null ? [] : [JSON.stringify(details)];
  return shown([at, event.padEnd(EVENT_WIDTH), outcome, actor, ...rest, ...about].join('  '));
}
