// Figures of what trials came to: history, slices, contours, distributions, the best so far of several searches.
const DRAW = {};
const RAMP = 12;
const shade = (share) => `r${Math.min(RAMP - 1, Math.max(0, Math.floor(share * RAMP)))}`;
const KINDS = ["stopped", "prior", "running", "done"];
const isBest = (direction, a, b) => b === null || (direction === "min" ? a < b : a > b);

// Dots in the colours of their status, those that are done above the others; points are [x, y, status].
function statusDots(svg, points, width = 5) {
  for (const kind of KINDS) {
    const mine = points.filter((p) => STATUS[p[2]] === kind);
    dots(svg, mine, kind, width, kind === "stopped" ? 0.75 : mine.length > 3000 ? 0.5 : 0.75);
  }
}

// What lies beyond the ends of an axis that goes up is a triangle at its end, in the colour of its status.
function statusBeyond(svg, points, axis, y) {
  const worse = (v) => (v > axis.high ? 1 : v < axis.low ? -1 : 0);
  if (axis.cut) for (const kind of KINDS) for (const side of [1, -1]) {
    const mine = points.filter((p) => STATUS[p[2]] === kind && worse(p[3]) === side);
    beyond(svg, mine.map(([x]) => [x, side > 0 ? y.to - 3 : y.from + 3]), kind, side > 0);
  }
  return axis.cut ? points.filter((p) => !worse(p[3])) : points;
}

function statusLegend(status, extra = []) {
  const there = new Set(status);
  const found = [...there].map((code) => STATUS[code]).filter((name) => name !== "empty");
  return [...extra, ...["done", "stopped", "running", "prior", "failed"].filter((name) => found.includes(name)).map((name) => [name, name, name === "failed" ? "x" : "o"])];
}

DRAW.History = {
  wide: true,
  height: (width) => (width < 560 ? 280 : 340),
  options: () => [["by", "by", [["trial", "trial"], ["end", "steps trained"]]]],
  draw(svg, width, height, f, options) {
    const area = box(58, 30, width - 8, height - 44);
    const byTrial = options.by !== "end";
    const last = byTrial ? f.trial[f.trial.length - 1] : f.end[f.end.length - 1];
    const x = scale({ name: "", low: byTrial ? f.trial[0] : 0, high: last, whole: true }, area.left + 8, area.right - 4, { count: width / 110 });
    const y = scale(f.objective, area.bottom - 10, area.top + 6, { count: 6 });
    axes(svg, area, x, y, { x: byTrial ? "trial" : "steps trained in a lane", y: titled(f.objective) });
    const at = (i) => x.at(byTrial ? f.trial[i] : f.tick[i]);
    const points = [], bad = [];
    f.value.forEach((value, i) => (value === null ? f.status[i] === STATUS.indexOf("failed") && bad.push([at(i), area.bottom - 3]) : points.push({ x: at(i), y: y.at(value), row: i })));
    const shown = points.map((p) => [p.x, p.y, f.feasible[p.row] ? f.status[p.row] : STATUS.indexOf("stopped"), f.value[p.row]]);
    statusDots(svg, statusBeyond(svg, shown, f.objective, y));
    crosses(svg, bad);
    const best = byTrial ? f.best.map((v, i) => [x.at(f.trial[i]), v]) : f.best_then.map((v, i) => [x.at(f.end[i]), v]);
    el(svg, "path", { class: "line accent", d: steps(best.filter(([, v]) => v !== null).map(([a, v]) => [a, y.at(v)])) });
    const table = () => f.trial.map((t, i) => [t, f.value[i], STATUS[f.status[i]], f.best[i]]);
    return {
      points, legend: statusLegend(f.status, [["best so far", "accent", "-"]]),
      note: noteOf(f.objective, "triangles at the edge"),
      table: [["trial", f.objective.name, "status", "best so far"], table],
    };
  },
};

DRAW.Slices = {
  wide: true,
  height: (width, f) => Math.ceil(f.axes.length / columnsOf(width, f.axes.length)) * 220 - 8,
  draw(svg, width, height, f) {
    const across = columnsOf(width, f.axes.length), wide = width / across, points = [];
    f.axes.forEach((axis, i) => {
      const left = (i % across) * wide, top = Math.floor(i / across) * 220;
      slice(svg, box(left + 52, top + 28, left + wide - 16, top + 170), f, i, points);
    });
    const table = () => f.score.map((v, i) => [here().trial[i], v, ...f.axes.map((axis, d) => onAxis(axis, f.value[d][i]))]);
    return { points, legend: statusLegend(f.status), note: noteOf(f.objective, "triangles at the edge"), table: [["trial", f.objective.name, ...f.axes.map((a) => a.name)], table] };
  },
};

function columnsOf(width, num) {
  const most = Math.min(num, Math.max(1, Math.floor(width / 215)));
  return Math.ceil(num / Math.ceil(num / most));
}

function slice(svg, area, f, d, points) {
  const axis = f.axes[d], x = scale(axis, area.left + 6, area.right - 6, { count: 3 });
  const y = scale(f.objective, area.bottom - 8, area.top + 4, { count: 5 });
  axes(svg, area, x, y, { x: axis.name, y: f.objective.name, left: area.left - 44 });
  const mine = [], bad = [], room = x.bands ? (Math.abs(x.to - x.from) / axis.texts.length) * 0.55 : 0;
  f.value[d].forEach((value, i) => {
    if (value === null) return;
    const px = x.at(value) + room * (((i * 0.618034) % 1) - 0.5);
    if (f.score[i] === null) { if (STATUS[f.status[i]] === "failed") bad.push([px, area.bottom - 2]); return; }
    mine.push([px, y.at(f.score[i]), f.status[i], f.score[i]]);
    points.push({ x: px, y: y.at(f.score[i]), row: i });
  });
  statusDots(svg, statusBeyond(svg, mine, f.objective, y), 4);
  crosses(svg, bad);
}

DRAW.Contours = {
  height: (width) => Math.min(430, Math.max(300, width * 0.8)) + 34,
  options: (f) => (f.pairs.length < 2 ? [] : [["pair", "over", f.pairs.map((p, i) => [String(i), cutText(`${p.x.name} × ${p.y.name}`, 40)])]]),
  draw(svg, width, height, f, options) {
    const pair = f.pairs[Number(options.pair ?? 0)] ?? f.pairs[0];
    const area = box(66, 30, width - 8, height - 78);
    const x = scale(pair.x, area.left, area.right, { count: 4 }), y = scale(pair.y, area.bottom, area.top, { count: 5 });
    const wide = (area.right - area.left) / pair.rank[0].length, high = (area.bottom - area.top) / pair.rank.length, cells = {};
    pair.rank.forEach((line, j) => line.forEach((rank, i) => {
      if (rank !== null) (cells[shade(rank)] ??= []).push(`M${(area.left + i * wide).toFixed(1)} ${(area.bottom - (j + 1) * high).toFixed(1)}h${(wide + 0.3).toFixed(1)}v${(high + 0.3).toFixed(1)}h${(-wide - 0.3).toFixed(1)}z`);
    }));
    for (const [kind, parts] of Object.entries(cells)) el(svg, "path", { class: `fill ${kind}`, d: parts.join(""), "fill-opacity": 0.9 });
    axes(svg, area, x, y, { x: pair.x.name, y: pair.y.name, bare: true });
    const jitter = (axis, v, row, room) => (axis.texts.length ? v + (room / axis.texts.length) * (((row * 0.618034) % 1) - 0.5) : v);
    const points = pair.row.map((row, i) => ({
      x: area.left + (area.right - area.left) * jitter(pair.x, pair.left[i], row, 0.6),
      y: area.bottom - (area.bottom - area.top) * jitter(pair.y, pair.up[i], row * 7, 0.6), row,
    }));
    if (points.length <= 400) dots(svg, points.map((p) => [p.x, p.y]), "ink", 3, 0.5);
    ramp(svg, area, height - 24, f.objective, pair.level);
    const table = () => pair.rank.flatMap((line, j) => line.map((v, i) => [cell(pair.x, i, line.length), cell(pair.y, j, pair.rank.length), v])).filter((r) => r[2] !== null);
    return { points, note: "The colours are ranks, as means of near trials; the numbers are the values at the ranks.", table: [[pair.x.name, pair.y.name, "share of trials that are no better"], table] };
  },
};

// What the colours stand for: the objective from the worst to the best, a number at each quarter of the ranks.
function ramp(svg, area, top, name, level) {
  const group = el(svg, "g", { "aria-hidden": "true" }), title = fitted(group, { class: "label", x: area.left, y: top + 8, "text-anchor": "start" }, name, (area.right - area.left) * 0.4);
  const left = area.left + title.getComputedTextLength() + 22, wide = area.right - left;
  for (let i = 0; i < RAMP; i++) el(group, "rect", { class: `fill r${i}`, x: left + (wide * i) / RAMP, y: top, width: wide / RAMP + 0.3, height: 8, "fill-opacity": 0.9 });
  const texts = level.map((v, i) => [left + (wide * i) / (level.length - 1), `${i === 0 ? "worst " : i === level.length - 1 ? "best " : ""}${short(v, 4)}`]);
  const shown = wide < 260 ? [texts[0], texts[texts.length - 1]] : texts;
  shown.forEach(([x, text], i) => el(group, "text", { x, y: top + 21, "text-anchor": i === 0 ? "start" : i === shown.length - 1 ? "end" : "middle" }, text));
}

// The middle of a cell along an axis.
function cell(axis, i, num) {
  if (axis.texts.length) return axis.texts[i];
  const share = (i + 0.5) / num;
  return short(valueAt(axis, share), 3);
}

// Each line has gaps where the last has none, so that one that lies upon another hides none of it.
const dashes = (i) => [null, "8 7", "2 6", "11 5 2 5"][i % 4];

function several(svg, f, width, height, x, y, lines) {
  const many = lines.length > 24, spots = [], seen = new Map();
  axes(svg, areaOf(width, height), x, y, { x: titled(x.axis), y: titled(y.axis) });
  lines.forEach((line, i) => {
    const d = steps(line.filter((p) => p[1] !== null).map(([a, b]) => [x.at(a), y.at(b)]));
    el(svg, "path", { class: many ? "thin accent" : `line s${i % 8}`, d, "stroke-dasharray": many ? null : dashes(i), "stroke-linecap": dashes(i) ? "butt" : null });
    seen.set(d, [...(seen.get(d) ?? []), f.names[i]]);
    line.forEach(([a, b]) => b !== null && spots.push({ x: x.at(a), y: y.at(b), search: f.search[i], say: [f.names[i] || "this search", `${x.axis.name}: ${short(a)}`, `${y.axis.name}: ${short(b)}`] }));
  });
  const legend = many || lines.length < 2 ? [] : f.names.map((text, i) => [text, `s${i % 8}`, "-", dashes(i)]);
  const crowd = many ? `${short(lines.length)}${lines.length < f.of ? ` of ${short(f.of)}` : ""} searches${lines.length < f.of ? ": the best half of these, and others evenly spread" : ""}; their names appear where you point. ` : "";
  const alike = many ? [] : [...seen.values()].filter((names) => names.length > 1).map((names) => `The same line: ${names.join(", ")}. `);
  return { points: [], spots, legend, note: crowd + alike.join("") + noteOf(f.objective) };
}

const areaOf = (width, height) => box(62, 26, width - 8, height - 50);

DRAW.Distribution = {
  height: (width) => (width < 560 ? 270 : 320),
  draw(svg, width, height, f) {
    const lines = f.value.map((value, i) => value.map((v, j) => [v, f.share[i][j]]));
    const area = areaOf(width, height), x = scale(f.objective, area.left, area.right, { count: width / 90 });
    const y = scale({ name: "share of trials that are as good", low: 0, high: 1 }, area.bottom, area.top);
    const found = several(svg, f, width, height, x, y, lines);
    return { ...found, table: [["search", f.objective.name, "share"], () => lines.flatMap((line, i) => line.map(([v, s]) => [f.names[i], v, s]))] };
  },
};

DRAW.Comparison = {
  wide: true,
  height: (width) => (width < 560 ? 280 : 340),
  draw(svg, width, height, f) {
    const lines = f.count.map((count, i) => count.map((c, j) => [c, f.best[i][j]]));
    const last = Math.max(...lines.map((line) => (line.length ? line[line.length - 1][0] : 1)));
    const area = areaOf(width, height), x = scale({ name: "trials", low: 1, high: last, whole: true }, area.left, area.right, { count: width / 110 });
    const found = several(svg, f, width, height, x, scale(f.objective, area.bottom, area.top, { count: 6 }), lines);
    return { ...found, table: [["search", "trials", "best so far"], () => lines.flatMap((line, i) => line.map(([c, b]) => [f.names[i], c, b]))] };
  },
};
