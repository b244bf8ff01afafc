/** The smallest database in the format of MaxMind (maxmind.github.io/MaxMind-DB): one record, and every address has it. */
type Value = string | number | { [name: string]: Value };

const STRING = 2;
const UINT32 = 6;
const MAP = 7;

/** One control byte: the type, and a size of less than 29. */
const control = (type: number, size: number) => Buffer.from([(type << 5) | size]);

function encode(value: Value): Buffer {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return Buffer.concat([control(STRING, bytes.length), bytes]);
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

export function mmdbOf(record: Value): Buffer {
  // One node of two 24-bit records; past the number of nodes a record points into the data, from 16 on.
  const node = Buffer.from([0, 0, 17, 0, 0, 17]);
  const metadata = { node_count: 1, record_size: 24, ip_version: 6, database_type: 'Test', build_epoch: 0 };
  return Buffer.concat([node, SEPARATOR, encode(record), MARKER, encode(metadata)]);
}
