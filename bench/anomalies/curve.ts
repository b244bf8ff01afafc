/** Detection against false alarms over the threshold, as an SVG that needs nothing else. */
export interface Line {
  name: string;
  /** Of another set-up than the others. */
  dashed?: boolean;
  /** By threshold: false alarms per 1,000 user-weeks, and the share of thefts found. */
  points: { alarms: number; found: number }[];
}

export interface Mark {
  name: string;
  alarms: number;
}

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [760, 440, 60, 20, 250, 50];
const [LEAST, MOST] = [0.05, 100];
const colours = ['#c0392b', '#e67e22', '#8e44ad', '#2980b9', '#16a085', '#7f8c8d', '#c0392b'];

const x = (alarms: number) =>
  LEFT + (Math.log(Math.max(alarms, LEAST) / LEAST) / Math.log(MOST / LEAST)) * (WIDTH - LEFT - RIGHT);
const y = (found: number) => TOP + (1 - found) * (HEIGHT - TOP - BOTTOM);
const at = (value: number) => value.toFixed(1);

const text = (left: number, top: number, words: string, anchor = 'middle') =>
  `<text x="${at(left)}" y="${at(top)}" text-anchor="${anchor}">${words}</text>`;

const stroke = (x1: number, y1: number, x2: number, y2: number, colour: string, more = '') =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${colour}" ${more}/>`;

export function curve(lines: readonly Line[], marks: readonly Mark[]): string {
  const [left, right, top, bottom] = [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM];
  const across = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
    (found) => stroke(left, y(found), right, y(found), '#ddd') + text(left - 24, y(found) + 4, `${found * 100} %`),
  );
  const down = [0.1, 1, 10, 100].map(
    (alarms) => stroke(x(alarms), top, x(alarms), bottom, '#ddd') + text(x(alarms), bottom + 18, String(alarms)),
  );
  const levels = marks.map(
    ({ name, alarms }, i) =>
      stroke(x(alarms), top, x(alarms), bottom, '#333', 'stroke-dasharray="3 3"') +
      text(x(alarms) + 3, bottom - 6 - (i % 2) * 14, name, 'start'),
  );
  const drawn = lines.map(({ name, points, dashed = false }, i) => {
    const colour = colours[i] ?? '#000';
    const shown = points.filter(({ alarms }) => alarms >= LEAST && alarms <= MOST);
    const path = shown.map(({ alarms, found }) => `${at(x(alarms))},${at(y(found))}`).join(' ');
    const key = top + 12 + i * 20;
    const style = `stroke-width="2"${dashed ? ' stroke-dasharray="6 3"' : ''}`;
    return (
      `<polyline points="${path}" fill="none" stroke="${colour}" ${style}/>` +
      stroke(right + 14, key, right + 34, key, colour, style) +
      text(right + 40, key + 4, name, 'start')
    );
  });
  const titles = [
    text((left + right) / 2, HEIGHT - 12, 'false alarms per 1,000 user-weeks'),
    `<g transform="rotate(-90 12 ${at((top + bottom) / 2)})">${text(12, (top + bottom) / 2, 'found at the first use')}</g>`,
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<title>Thefts found at the first use against false alarms per 1,000 user-weeks</title>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...across,
    ...down,
    ...levels,
    ...drawn,
    ...titles,
    '</svg>\n',
  ].join('\n');
}
