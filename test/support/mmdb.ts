/** The smallest database in the format of MaxMind (maxmind.github.io/MaxMind-DB): one record, and every address has it. */
type Value = string | number | { [name: string]: Value };

const STRING = 2;
const DOUBLE = 3;
const UINT32 = 6;
const MAP = 7;

/** The type, and a size of less than 285. */
const control = (type: number, size: number) =>
  Buffer.from(size < 29 ? [(type << 5) | size] : [(type << 5) | 29, size - 29]);

function encode(value: Value): Buffer {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return Buffer.concat([control(STRING, bytes.length), bytes]);
  }
  if (typeof value === 'number' && (value < 0 || !Number.isInteger(value))) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return Buffer.concat([control(DOUBLE, bytes.length), bytes]);
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return Buffer.concat([control(UINT32, bytes.length), bytes]);
  }
  const entries = Object.entries(value);
  return Buffer.concat([control(MAP, entries.length), ...entries.flatMap(([name, v]) => [encode(name), encode(v)])]);
}

const MARKER = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
const SEPARATOR = Buffer.alloc(16);

/** `claimed` is what the metadata say, if it is not so. */
export function mmdbOf(record: Value, claimed: { ip_version?: number; node_count?: number } = {}): Buffer {
  // One node of two 24-bit records; past the number of nodes a record points into the data, from 16 on.
  const node = Buffer.from([0, 0, 17, 0, 0, 17]);
  const metadata = { node_count: 1, record_size: 24, ip_version: 6, database_type: 'Test', build_epoch: 0, ...claimed };
  return Buffer.concat([node, SEPARATOR, encode(record), MARKER, encode(metadata)]);
}
