/**
 * What a person calls the sender of a user agent: `Firefox on Windows`, or the name of an app. No versions, which change by
 * themselves. Null for what tells nothing. Never throws, and takes less than a millisecond of whatever is sent.
 */
export type DeviceOf = (userAgent: string | null) => string | null;
