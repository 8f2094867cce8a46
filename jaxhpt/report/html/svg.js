// Small SVG: elements, scales, axes, dots.
const SVG = "http://www.w3.org/2000/svg";

function el(parent, name, attributes = {}, text = null) {
  const made = parent instanceof SVGElement || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

function linearTicks(low, high, count) {
  const raw = (high - low) / Math.max(1, count) || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * (raw >= 7 * power ? 10 : raw >= 3.2 * power ? 5 : raw >= 1.45 * power ? 2 : 1), found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// Powers of ten, and between them 3, or 2 and 5, where there is room: then the first and the last are near the ends.
function logTicks(low, high, count) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), inside = (v) => v >= low * 0.999 && v <= high * 1.001;
  const made = (parts, apart) => {
    const found = [];
    for (let e = apart * Math.ceil(first / apart); e <= last; e += apart) for (const m of parts) found.push(Number(`${m}e${e}`));
    return found.filter(inside);
  };
  for (const parts of [[1, 2, 5], [1, 3]]) { const found = made(parts, 1); if (found.length > 1 && found.length <= 1.5 * count) return found; }
  const apart = Math.max(1, Math.ceil(Math.log10(high / low) / Math.max(2, count))), found = made([1], apart);
  return found.length > 1 ? found : linearTicks(low, high, count);
}

// Values as an axis spaces them, rising: evenly, by their logarithm, or by that of their distance to the best.
function spaced(axis) {
  if (!axis.near) return axis.log ? Math.log : (v) => v;
  const best = axis.best === "low" ? axis.low : axis.high;
  return (v) => { const gap = Math.min(axis.high, Math.max(axis.low, v)) - best; return Math.sign(gap) * Math.log1p(Math.abs(gap) / axis.near); };
}

// What lies so far along an axis, from 0 to 1.
function valueAt(axis, share) {
  const along = spaced(axis), low = along(axis.low), at = low + share * (along(axis.high) - low);
  if (!axis.near) return axis.log ? Math.exp(at) : at;
  return (axis.best === "low" ? axis.low : axis.high) + Math.sign(at) * axis.near * Math.expm1(Math.abs(at));
}

const titled = (axis) => (axis.near ? `${axis.name}, by the log of the distance to the best` : axis.name);

function noteOf(axis, mark = "drawn at the edge") {
  const near = axis.near ? `Values of ${axis.name} are spaced by the logarithm of their distance to the best, so that good trials lie apart. ` : "";
  return near + (axis.cut ? `A few values lie far beyond the others: ${mark}. ` : "");
}

// A scale from an axis to pixels; `pad` leaves air at its ends, and whole numbers of categories get bands.
function scale(axis, from, to, { count = 5, pad = 0 } = {}) {
  const span = to - from;
  if (axis.texts && axis.texts.length) {
    const at = (v) => from + (span * (v + 0.5)) / axis.texts.length;
    return { axis, from, to, at, bands: true, ticks: axis.texts.map((text, i) => ({ at: at(i), text })) };
  }
  const log = axis.log, along = spaced(axis);
  let low = along(axis.low), high = along(axis.high);
  if (!(high > low)) { low -= Math.abs(low) * 0.05 || 0.5; high += Math.abs(high) * 0.05 || 0.5; }
  const air = (high - low) * pad;
  low -= air; high += air;
  const at = (v) => from + span * Math.min(1, Math.max(0, (along(v) - low) / (high - low)));
  const ends = log ? [Math.exp(low), Math.exp(high)] : [low, high];
  const values = axis.near ? apart(axis.ticks, at, to > from ? 46 : 15) : log ? logTicks(...ends, count) : linearTicks(...ends, count);
  const kept = axis.whole && !log ? values.filter(Number.isInteger) : values;
  return { axis, from, to, at, ticks: kept.map((v) => ({ at: at(v), text: short(v, 4) })) };
}

// The ticks of which no two lie upon each other: the ends always.
function apart(ticks, at, least) {
  const found = [ticks[0]], end = ticks[ticks.length - 1];
  for (const v of ticks.slice(1, -1)) if (Math.abs(at(v) - at(found[found.length - 1])) >= least && Math.abs(at(v) - at(end)) >= least) found.push(v);
  return [...found, end];
}

// A text that is cut where it is wider than its room, by measuring.
function fitted(parent, attributes, text, room) {
  const made = el(parent, "text", attributes, text);
  let wide = made.getComputedTextLength(), kept = text;
  if (wide > room) el(made, "title", {}, text);
  while (wide > room && kept.length > 1) {
    kept = kept.slice(0, Math.max(1, Math.min(kept.length - 1, Math.floor((kept.length * room) / wide))));
    made.firstChild.data = `${kept}…`;
    wide = made.getComputedTextLength();
  }
  return made;
}

const cutText = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Draw the axes of a plot area: grid lines with their numbers, and the names.
function axes(svg, area, x, y, names = {}) {
  const group = el(svg, "g", { "aria-hidden": "true" });
  for (const tick of y ? y.ticks : []) {
    if (!names.bare) el(group, "path", { class: "grid", d: `M${area.left} ${tick.at.toFixed(1)}H${area.right}` });
    el(group, "text", { x: area.left - 8, y: tick.at + 3.5, "text-anchor": "end" }, cutText(tick.text, 12));
  }
  el(group, "path", { class: "axis", d: `M${area.left} ${area.bottom}H${area.right}` });
  if (x) ticksBelow(group, area, x);
  if (names.x) fitted(group, { class: "label", x: area.right, y: area.bottom + 34, "text-anchor": "end" }, names.x, area.right - area.left);
  if (names.y) fitted(group, { class: "label", x: names.left ?? 0, y: area.top - 12 }, names.y, area.right - (names.left ?? 0));
  return group;
}

function ticksBelow(group, area, x) {
  let end = -Infinity;
  const room = x.bands ? Math.abs(x.to - x.from) / x.ticks.length / 6.2 : 12;
  for (const tick of x.ticks) {
    const text = cutText(tick.text, Math.max(2, room)), half = text.length * 3.2;
    if (tick.at - half < end) continue;
    end = tick.at + half + 6;
    el(group, "path", { class: "axis", d: `M${tick.at.toFixed(1)} ${area.bottom}v4` });
    const anchor = tick.at + half > area.right + 14 ? "end" : "middle";
    el(group, "text", { x: anchor === "end" ? area.right + 10 : tick.at, y: area.bottom + 17, "text-anchor": anchor }, text);
  }
}

// Many dots as few paths: a subpath of no length has a round cap. Several paths let density show.
function dots(parent, points, kind, width = 5, opacity = 0.55) {
  const parts = Math.max(1, Math.min(40, Math.ceil(points.length / 300)));
  for (let i = 0; i < parts; i++) {
    const d = points.filter((p, j) => j % parts === i).map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
    el(parent, "path", { class: `dots ${kind}`, d, style: `--w:${width}px;--o:${opacity}` });
  }
}

function crosses(parent, points, kind = "failed") {
  if (!points.length) return;
  el(parent, "path", { class: `crosses ${kind}`, d: points.map(([x, y]) => `M${(x - 3).toFixed(1)} ${(y - 3).toFixed(1)}l6 6m0-6l-6 6`).join("") });
}

// Triangles for what lies beyond an edge.
function beyond(parent, points, kind, up) {
  const t = up ? -6 : 6;
  if (points.length) el(parent, "path", { class: `fill ${kind}`, d: points.map(([x, y]) => `M${(x - 4).toFixed(1)} ${y.toFixed(1)}h8l-4 ${t}z`).join("") });
}

function path(points) {
  let d = "", pen = "M";
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) { pen = "M"; continue; }
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return d;
}

function steps(points) {
  let d = "";
  for (const [x, y] of points) d += d ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`;
  return d;
}

const ring = (group, x, y) => el(group, "circle", { class: "mark", cx: x.toFixed(1), cy: y.toFixed(1), r: 5 });
const box = (left, top, right, bottom) => ({ left, top, right, bottom });
