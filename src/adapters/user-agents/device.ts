/** Names of devices, by bowser where it is a browser, else by the first product of the user agent (RFC 9110 §10.1.5). */
import Bowser from 'bowser';
import { createForgetOldest } from '../../domain/oldest.js';
import type { DeviceOf } from '../../ports/device-names.js';

/** As much as sessions keep of a user agent; what comes after says no more. */
const MOST_CHARACTERS = 512;
const MOST_NAME = 36;
/** The same few thousand user agents come again and again; each is a hundred regular expressions. */
const MOST_KNOWN = 5_000;

/** Products that say how an app talks to its network, and not which app it is. */
const LIBRARIES = /^(?:mozilla|gecko|okhttp|cfnetwork|darwin|alamofire|dalvik)$/i;

/** What apps name of a system, where browsers have forms that bowser knows. */
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:iPhone|iPad|iOS)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\b(?:macOS|Macintosh)\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

/** Cut off before it is cleaned, or half of a letter could be left. */
const printable = (text: string) =>
  text
    .slice(0, MOST_NAME)
    .replace(/[^\p{L}\p{M}\p{N} ._+-]/gu, '')
    .replace(/(?: v?\d[\d.]*|[-_]v?\d+\.[\d.]*)$/i, '')
    .trim();

/** `My App/3 (iOS 16)` → `My App`; `MyApp/1.2 okhttp/4.9` → `MyApp`; `okhttp/4.9` → `okhttp` */
function productOf(userAgent: string): string | null {
  const products = userAgent
    .replace(/\([^()]*\)/g, '/')
    .split('/')
    .map((part) => printable(part.replace(/^[\s\d.]+(?=\s|$)/, '')))
    .filter((name) => /\p{L}/u.test(name));
  return products.find((name) => !LIBRARIES.test(name)) ?? products[0] ?? null;
}

function nameOf(userAgent: string): string | null {
  const { browser, os } = Bowser.parse(userAgent);
  // It calls "Mozilla" what begins like a browser, and is none that it knows.
  if (/^Mozilla\//.test(userAgent) && browser.name && browser.name !== 'Mozilla')
    return printable(os.name ? `${browser.name} on ${os.name}` : browser.name);
  const product = productOf(userAgent);
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1];
  if (product === null) return system ?? null;
  return system === undefined ? product : `${product} on ${system}`;
}

/** Least recently used first. */
const known = new Map<string, string | null>();
const forgetOldest = createForgetOldest(known);

export const deviceOf: DeviceOf = (given) => {
  const userAgent = given?.slice(0, MOST_CHARACTERS) ?? '';
  if (userAgent === '') return null;
  const before = known.get(userAgent);
  const name = before === undefined ? nameOf(userAgent) : before;
  known.delete(userAgent);
  known.set(userAgent, name);
  if (known.size > MOST_KNOWN) forgetOldest();
  return name;
};
