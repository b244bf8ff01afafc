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

export interface AuditFormat {
  head: string;
  line(event: AuditRecord): string;
}

export const auditFormats: Record<'jsonl' | 'csv', AuditFormat> = {
  jsonl: { head: '', line: (event) => `${JSON.stringify(event)}\n` },
  csv: { head: csvLine(auditMembers), line: (event) => csvLine(auditMembers.map((member) => event[member])) },
};

/** A terminal obeys control characters. */
const shown = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');

/** What there is, by name, after what every event has. */
export function auditLine({ at, event, outcome, actor, details, ...more }: AuditRecord): string {
  const { id: _, ...members } = more;
  const rest = Object.entries(members)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${/\s/.test(String(value)) ? JSON.stringify(value) : value}`);
  const about = details === null ? [] : [JSON.stringify(details)];
  return shown([at, event.padEnd(16), outcome, actor, ...rest, ...about].join('  '));
}
