/** Where the time of a process goes, from a profile of V8 (`--cpu-prof`): by what is on the stack, nearest first. */
import { readFileSync } from 'node:fs';

interface Frame {
  functionName: string;
  url: string;
  lineNumber: number;
}

interface Profile {
  nodes: { id: number; callFrame: Frame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
  /** Microseconds, on the same clock as the deltas. */
  startTime: number;
  endTime: number;
}

/** What a frame is told under; null for what serves whoever calls it, such as a built-in function. */
export type Classify = (frame: Frame) => string | null;

export interface Share {
  name: string;
  micros: number;
}

const OTHER = 'other';

const byMicros = (shares: Map<string, number>): Share[] =>
  [...shares].map(([name, micros]) => ({ name, micros })).sort((a, b) => b.micros - a.micros);

export interface Breakdown {
  /** By what `classify` says. */
  areas: Share[];
  /** By function and place, without what it calls. */
  functions: Share[];
}

/** Of the last seconds of the process, as long as it was not idle. */
export function breakdown(path: string, seconds: number, classify: Classify): Breakdown {
  const { nodes, samples, timeDeltas, startTime, endTime }: Profile = JSON.parse(readFileSync(path, 'utf8'));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));

  function areaOf(id: number | undefined): string {
    const frame = id === undefined ? undefined : byId.get(id)?.callFrame;
    if (frame === undefined) return OTHER;
    return classify(frame) ?? areaOf(parents.get(id as number));
  }

  const known = new Map(nodes.map(({ id }) => [id, areaOf(id)]));
  const [areas, functions] = [new Map<string, number>(), new Map<string, number>()];
  const add = (to: Map<string, number>, name: string, micros: number) => to.set(name, (to.get(name) ?? 0) + micros);
  let at = startTime;
  samples.forEach((id, i) => {
    at += timeDeltas[i] ?? 0;
    if (at < endTime - seconds * 1e6) return;
    const { functionName, url, lineNumber } = byId.get(id)?.callFrame ?? { functionName: '', url: '', lineNumber: 0 };
    if (functionName === '(idle)') return;
    const micros = timeDeltas[i] ?? 0;
    add(areas, known.get(id) ?? OTHER, micros);
    add(functions, `${functionName || '(anonymous)'} ${placeOf(url)}:${lineNumber + 1}`, micros);
  });
  return { areas: byMicros(areas), functions: byMicros(functions) };
}

/** From the folder of the package, or of the sources, on. */
export const placeOf = (url: string): string =>
  url.replace(/^.*\/node_modules\//, '').replace(/^.*\/dist\/(?=src\/)/, '');
