// Draws a curve as one SVG: a panel for each figure, a line for each row, logarithmic where the values span decades.
import { BARE, NPM, TRUNKLINE } from "./rows.mjs";

const PANEL = { width: 330, height: 210, left: 62, right: 22, top: 34, bottom: 44 };
/** The same row has the same colour in every plot. */
const KNOWN = { [TRUNKLINE]: "#1668b8", [BARE]: "#c2410c", [NPM]: "#5b6470" };
const OTHERS = ["#15803d", "#7e22ce", "#a16207"];
const FONT = 'font-family="system-ui, sans-serif" font-size="11"';
const TICKS = 5;
/** From this ratio of largest to smallest value on, the axis is logarithmic. */
const LOGARITHMIC_FROM = 30;

/** `panels`: figures with `title` and `lines`, each a `name` and `points` of `x`, `median`, `min`, `max`. */
export function plot({ title, xTitle, panels }) {
  const names = [...new Set(panels.flatMap(({ lines }) => lines.map(({ name }) => name)))];
  const colour = (name) => KNOWN[name] ?? OTHERS[names.indexOf(name) % OTHERS.length];
  const width = PANEL.width * panels.length;
  const height = PANEL.height + 48;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT}>`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="${PANEL.left}" y="17" font-size="13" font-weight="600">${escape(title)}</text>`,
    ...panels.map(
      (panel, index) => `<g transform="translate(${index * PANEL.width} 18)">${panelOf(panel, xTitle, colour)}</g>`,
    ),
    legend(names, colour, height - 12),
    "</svg>",
    "",
  ].join("\n");
}

function panelOf({ title, lines }, xTitle, colour) {
  const points = lines.flatMap((line) => line.points);
  const x = axis(
    points.map((point) => point.x),
    [PANEL.left, PANEL.width - PANEL.right],
    true,
  );
  const values = points.flatMap(({ min, max }) => [min, max]);
  const y = axis(values, [PANEL.height - PANEL.bottom, PANEL.top], false);
  return [
    `<text x="${PANEL.left}" y="${PANEL.top - 10}" fill="#444">${escape(title)}</text>`,
    ...y.ticks.map((value) => gridLine(y.at(value), short(value))),
    ...x.ticks.map((value) => xTick(x.at(value), short(value))),
    `<text x="${(PANEL.left + PANEL.width) / 2}" y="${PANEL.height - 10}" text-anchor="middle" fill="#444">${escape(xTitle)}</text>`,
    ...lines.map((line) => lineOf(line, x.at, y.at, colour(line.name))),
  ].join("");
}

/** A scale from values to pixels, and the places of its marks. It starts at zero, unless the values span decades. */
function axis(values, [from, to], isX) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low > 0 && high / low > LOGARITHMIC_FROM) {
    const [first, last] = isX
      ? [Math.log10(low), Math.log10(high)]
      : [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const at = (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from);
    if (isX) return { at, ticks: [...new Set(values)] };
    const decades = Array.from(
      { length: Math.floor(last) - Math.ceil(first) + 1 },
      (_, index) => 10 ** (Math.ceil(first) + index),
    );
    return { at, ticks: decades };
  }
  const start = isX ? low : 0;
  const step = niceStep((high - start) / TICKS || 1);
  const end = isX ? high : Math.ceil(high / step) * step || 1;
  const at = (value) => from + ((value - start) / (end - start || 1)) * (to - from);
  const ticks = [];
  for (let value = Math.ceil(start / step) * step; value <= end + step / 1e6; value += step)
    ticks.push(Number(value.toPrecision(6)));
  return { at, ticks: isX && high - low <= TICKS ? [...new Set(values)] : ticks };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

function gridLine(y, label) {
  return (
    `<line x1="${PANEL.left}" x2="${PANEL.width - PANEL.right}" y1="${px(y)}" y2="${px(y)}" stroke="#e2e5e9"/>` +
    `<text x="${PANEL.left - 6}" y="${px(y + 4)}" text-anchor="end" fill="#444">${label}</text>`
  );
}

function xTick(x, label) {
  return `<text x="${px(x)}" y="${PANEL.height - PANEL.bottom + 16}" text-anchor="middle" fill="#444">${label}</text>`;
}

/** A line through the medians, and at each a bar from the lowest to the highest value. */
function lineOf({ points }, x, y, colour) {
  const path = points.map((point) => `${px(x(point.x))},${px(y(point.median))}`).join(" ");
  const marks = points.map(
    (point) =>
      `<line x1="${px(x(point.x))}" x2="${px(x(point.x))}" y1="${px(y(point.min))}" y2="${px(y(point.max))}" stroke="${colour}" stroke-opacity="0.5"/>` +
      `<circle cx="${px(x(point.x))}" cy="${px(y(point.median))}" r="2.6" fill="${colour}"/>`,
  );
  return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>${marks.join("")}`;
}

function legend(names, colour, y) {
  let x = PANEL.left;
  const entries = names.map((name) => {
    const entry = `<circle cx="${x}" cy="${y - 4}" r="4" fill="${colour(name)}"/><text x="${x + 9}" y="${y}">${escape(name)}</text>`;
    x += 30 + name.length * 6.2;
    return entry;
  });
  return entries.join("");
}

function short(value) {
  if (value >= 1_024 && value % 1_024 === 0) return `${value / 1_024}Ki`;
  if (value >= 1e6) return `${value / 1e6}M`;
  if (value >= 1e3) return `${value / 1e3}k`;
  return String(Number(value.toPrecision(3)));
}

function px(value) {
  return value.toFixed(1);
}

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
