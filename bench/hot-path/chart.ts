/** Charts as SVG that needs nothing else. */
const [WIDTH, LEFT, RIGHT, TOP, BOTTOM] = [760, 70, 230, 40, 50];
const LINES_HEIGHT = 400;
const [BAR, GAP, NAMES] = [24, 12, 280];
const COLOURS = ['#2980b9', '#e67e22', '#16a085', '#8e44ad', '#c0392b', '#7f8c8d'];

const at = (value: number): string => value.toFixed(1);
const escaped = (words: string): string => words.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const text = (x: number, y: number, words: string, anchor = 'middle', more = ''): string =>
  `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" ${more}>${escaped(words)}</text>`;
const line = (x1: number, y1: number, x2: number, y2: number, colour: string, more = ''): string =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${colour}" ${more}/>`;
const colourOf = (i: number): string => COLOURS[i % COLOURS.length] ?? '#000';

const svg = (title: string, height: number, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(WIDTH / 2, 20, title, 'middle', 'font-size="14"'),
    ...parts,
    '</svg>\n',
  ].join('\n');

/** Round steps from 0 up to what is needed: 1, 2 or 5 times a power of ten. */
function stepsTo(most: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most / 4 || 1));
  const step = ([1, 2, 5].find((times) => most / (times * power) <= 6) ?? 10) * power;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6} M` : value >= 1e4 ? `${value / 1e3} k` : String(Number(value.toFixed(3)));

export interface Line {
  name: string;
  points: readonly { x: number; y: number }[];
}

/** Lines over x, which is shown by its logarithm: each doubling, or each power of ten, is as wide. */
export function lines(title: string, titles: { x: string; y: string }, all: readonly Line[]): string {
  const points = all.flatMap((one) => one.points);
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const [least = 1, most = 1] = [xs[0], xs.at(-1)];
  const steps = stepsTo(Math.max(...points.map(({ y }) => y), 0));
  const [right, bottom, top] = [WIDTH - RIGHT, LINES_HEIGHT - BOTTOM, steps.at(-1) || 1];
  const x = (value: number) => LEFT + (Math.log(value / least) / Math.log(most / least || Math.E)) * (right - LEFT);
  const y = (value: number) => bottom - (value / top) * (bottom - TOP);
  return svg(title, LINES_HEIGHT, [
    ...steps.map(
      (value) => line(LEFT, y(value), right, y(value), '#ddd') + text(LEFT - 8, y(value) + 4, short(value), 'end'),
    ),
    ...xs.map((value) => line(x(value), TOP, x(value), bottom, '#eee') + text(x(value), bottom + 18, short(value))),
    ...all.map((one, i) => {
      const path = one.points.map((point) => `${at(x(point.x))},${at(y(point.y))}`).join(' ');
      const dots = one.points.map((point) => `<circle cx="${at(x(point.x))}" cy="${at(y(point.y))}" r="3"/>`).join('');
      const key = TOP + 12 + i * 20;
      return (
        `<polyline points="${path}" fill="none" stroke="${colourOf(i)}" stroke-width="2"/>` +
        `<g fill="${colourOf(i)}">${dots}</g>` +
        line(right + 14, key, right + 34, key, colourOf(i), 'stroke-width="2"') +
        text(right + 40, key + 4, one.name, 'start')
      );
    }),
    text((LEFT + right) / 2, LINES_HEIGHT - 12, titles.x),
    `<g transform="rotate(-90 14 ${at((TOP + bottom) / 2)})">${text(14, (TOP + bottom) / 2, titles.y)}</g>`,
  ]);
}

export interface Bar {
  name: string;
  /** One for each part, left to right. */
  values: readonly number[];
}

/** One bar a row, of several parts. */
export function bars(title: string, parts: readonly string[], all: readonly Bar[]): string {
  const totals = all.map(({ values }) => values.reduce((sum, value) => sum + value, 0));
  const width = (value: number) => (value / Math.max(...totals, Number.MIN_VALUE)) * (WIDTH - NAMES - 70);
  const height = TOP + all.length * (BAR + GAP) + 30;
  return svg(title, height, [
    ...all.map(({ name, values }, row) => {
      const top = TOP + row * (BAR + GAP);
      let left = NAMES;
      const drawn = values.map((value, i) => {
        const from = left;
        left += width(value);
        return `<rect x="${at(from)}" y="${top}" width="${at(width(value))}" height="${BAR}" fill="${colourOf(i)}"/>`;
      });
      return (
        text(NAMES - 8, top + 16, name, 'end') +
        drawn.join('') +
        text(left + 6, top + 16, (totals[row] ?? 0).toFixed(2), 'start')
      );
    }),
    ...parts.map((name, i) => {
      const [left, top] = [NAMES + i * 130, height - 22];
      return `<rect x="${left}" y="${top}" width="12" height="12" fill="${colourOf(i)}"/>${text(left + 18, top + 10, name, 'start')}`;
    }),
  ]);
}
