// Figures of settings: parallel coordinates, importances, the Pareto front, spread, validation beside test.
DRAW.Parallel = {
  wide: true,
  height: (width) => (width < 560 ? 330 : 380),
  draw(svg, width, height, whole) {
    const f = fitting(whole, width), left = whole.axes.length - f.axes.length;
    const area = box(26, 46, width - 56, height - 30), gap = (area.right - area.left) / Math.max(1, f.axes.length - 1);
    const at = (place) => area.bottom - (area.bottom - area.top) * place, rail = height - 6;
    const sx = (a) => area.left + a * gap, spread = (a, place, row) => jittered(f.axes[a], place, row);
    const line = (i) => f.place[i].map((place, a) => [sx(a), place === null ? rail : at(spread(a, place, f.row[i]))]);
    const shades = Array.from({ length: RAMP }, () => []);
    f.row.forEach((row, i) => shades[Math.min(RAMP - 1, Math.floor(f.rank[i] * RAMP))].push(path(line(i))));
    const [thin, strong] = f.row.length > 500 ? [0.3, 0.45] : [0.6, 0.9];
    shades.forEach((parts, i) => el(svg, "path", { class: `thin r${i}`, d: parts.join(""), style: `stroke-opacity:${i > 9 ? strong : thin};stroke-width:${i > 10 && f.row.length < 500 ? 1.5 : 1}px` }));
    const missing = f.place.some((places) => places.includes(null));
    f.axes.forEach((axis, a) => parallelAxis(svg, axis, sx(a), area, gap, a, f.axes.length));
    if (missing) el(svg, "text", { x: 0, y: rail - 6 }, "does not exist");
    const points = [];
    f.row.forEach((row, i) => line(i).forEach(([x, y]) => points.push({ x, y, row })));
    const place = new Map(f.row.map((row, i) => [row, i]));
    return {
      points, mark: (group, row) => place.has(row) && el(group, "path", { class: "path", d: path(line(place.get(row))) }),
      legend: [["best", "r11", "-"], ["worst", "r0", "-"]],
      note: whole.axes.map((axis) => noteOf(axis)).join("") + (f.row.length < f.of ? `${short(f.row.length)} of ${short(f.of)} trials: the best half of these, and others evenly spread. ` : "") + (left ? `${left} dimensions more have no room here; the table has them.` : ""),
      table: [["trial", ...f.axes.map((a) => a.name)], () => f.row.map((row, i) => [here().trial[row], ...f.axes.map((axis, a) => cell2(axis, f.place[i][a]))]).reverse()],
    };
  },
};

// The first dimensions that there is room for, and the objectives.
function fitting(f, width) {
  const most = Math.max(3, Math.floor(width / 56)), goals = here().objectives.length;
  if (f.axes.length <= most) return f;
  const keep = f.axes.map((axis, a) => a).filter((a) => a < most - goals || a >= f.axes.length - goals);
  return { ...f, axes: keep.map((a) => f.axes[a]), place: f.place.map((places) => keep.map((a) => places[a])) };
}

function jittered(axis, place, row) {
  return axis.texts.length ? place + (0.4 / axis.texts.length) * (((row * 0.618034) % 1) - 0.5) : place;
}

function cell2(axis, place) {
  if (place === null) return null;
  if (axis.texts.length) return axis.texts[Math.min(axis.texts.length - 1, Math.floor(place * axis.texts.length))];
  return valueAt(axis, place);
}

function parallelAxis(svg, axis, x, area, gap, a, num) {
  const group = el(svg, "g", { "aria-hidden": "true" });
  el(group, "path", { class: "axis", d: `M${x.toFixed(1)} ${area.top}V${area.bottom}`, style: "stroke:var(--faint)" });
  const y = scale(axis, area.bottom, area.top, { count: axis.near ? 6 : 4 }), anchor = a === 0 ? "start" : a === num - 1 ? "end" : "middle";
  const two = gap < 90, wide = area.right + 56, edge = a === 0 ? 0 : a === num - 1 ? wide : x;  // names in two rows where they are crowded
  const room = (anchor === "start" ? x + gap / 2 : anchor === "end" ? wide - x + gap / 2 : gap) * (two ? 1.5 : 1) - 8, left = anchor === "middle" ? Math.min(room, 2 * Math.min(x, wide - x)) : room;
  fitted(group, { class: "label", x: edge, y: area.top - (a % 2 && two ? 32 : 16), "text-anchor": anchor }, axis.name, left);
  const ticks = gap < 60 && y.ticks.length > 2 ? [y.ticks[0], y.ticks[y.ticks.length - 1]] : y.ticks;
  for (const tick of ticks) {
    el(group, "path", { class: "axis", d: `M${(x - 3).toFixed(1)} ${tick.at.toFixed(1)}h6`, style: "stroke:var(--faint)" });
    fitted(group, { x: x + 7, y: tick.at + 3.5, class: "halo" }, tick.text, (a === num - 1 ? wide - x : gap) - 9);
  }
}

DRAW.Importance = {
  height: (width, f) => f.names.length * 30 + 6,
  draw(svg, width, height, f) {
    const labels = f.names.map((name, i) => fitted(svg, { class: "label", y: 18 + i * 30, "text-anchor": "end" }, name, width * 0.36));
    const left = 10 + Math.max(...labels.map((label) => label.getComputedTextLength()));
    for (const label of labels) label.setAttribute("x", left - 10);
    const high = Math.max(0.05, ...f.share.map((s, i) => s + (f.error[i] ?? 0)));
    const x = (v) => left + (width - left - 64) * Math.max(0, v / high), spots = [];
    f.names.forEach((name, i) => {
      const y = 14 + i * 30, error = f.error[i] ?? 0, share = f.share[i];
      el(svg, "rect", { class: "fill accent", x: left, y: y - 8, width: Math.max(1, x(share) - left), height: 16, rx: 2, "fill-opacity": 0.85 });
      if (error) el(svg, "path", { class: "path", d: `M${x(share - error)} ${y}H${x(share + error)}M${x(share - error)} ${y - 4}v8M${x(share + error)} ${y - 4}v8`, style: "stroke-width:1.5px;stroke:var(--soft)" });
      el(svg, "text", { class: "strong", x: x(share + error) + 8, y: y + 4 }, `${(100 * share).toFixed(0)}%`);
      spots.push({ x: x(share / 2), y, say: [name, `share: ${(100 * share).toFixed(1)}%`, `standard error: ${f.error[i] === null ? "not known" : `${(100 * error).toFixed(1)}%`}`] });
    });
    const rows = () => f.names.map((name, i) => [name, f.share[i], f.error[i]]);
    return { points: [], spots, note: `Of ${f.objective}, by ${f.method === "grey" ? "grey relational grades" : "permutation"}.`, table: [["dimension", "share", "standard error"], rows] };
  },
};

DRAW.Pareto = {
  wide: true,
  height: (width, f) => (width < 720 && f.trial.length ? 620 : 360),
  options: (f) => (f.axes.length < 3 ? [] : ["x", "y"].map((name, i) => [name, name, [...f.axes.map((a, j) => [String(j), a.name])].sort((a, b) => (b[0] === String(i)) - (a[0] === String(i)))])),
  draw(svg, width, height, f, options) {
    const two = f.trial.length > 0, stacked = width < 720, split = two && !stacked ? width * 0.58 : width;
    const area = box(58, 30, split - 8, (two && stacked ? 330 : height) - 44);
    const [i, j] = [Number(options.x ?? 0), Number(options.y ?? 1)];
    const x = scale(f.axes[i], area.left + 10, area.right - 8, { count: split / 130 }), y = scale(f.axes[j], area.bottom - 10, area.top + 8);
    axes(svg, area, x, y, { x: goal(f, i), y: goal(f, j) });
    const points = f.row.map((row, k) => ({ x: x.at(f.score[i][k]), y: y.at(f.score[j][k]), row }));
    dots(svg, points.filter((p, k) => !f.front[k] && !f.feasible[k]).map((p) => [p.x, p.y]), "failed", 4, 0.7);
    dots(svg, points.filter((p, k) => !f.front[k] && f.feasible[k]).map((p) => [p.x, p.y]), "soft", 5, 0.75);
    const front = points.filter((p, k) => f.front[k]).sort((a, b) => a.x - b.x);
    if (f.axes.length === 2) el(svg, "path", { class: "line accent", d: stairs(front, f.directions), style: "stroke-width:1.3px;stroke-opacity:.7" });
    dots(svg, front.map((p) => [p.x, p.y]), "accent", 7, 0.95);
    const spots = two ? volume(svg, f, stacked ? box(58, 390, width - 8, height - 44) : box(split + 52, 30, width - 8, height - 44)) : [];
    const legend = [["Pareto front", "accent", "o"], ["dominated", "soft", "o"], ...(f.feasible.includes(0) ? [["breaks a constraint", "failed", "o"]] : [])];
    const rows = () => f.row.map((row, k) => [here().trial[row], ...f.score.map((s) => s[k]), f.front[k] ? "yes" : ""]).sort((a, b) => (b[3] > a[3]) - (b[3] < a[3]));
    return { points, spots, legend, table: [["trial", ...f.axes.map((a) => a.name), "on the front"], rows] };
  },
};

const goal = (f, i) => `${f.axes[i].name} (${f.directions[i] === "min" ? "less" : "more"} is better)`;

function stairs(front, directions) {
  // Corners lie on the side that is worse in both.
  let d = "";
  front.forEach((p, k) => {
    const turn = directions[0] === "min" ? `H${p.x.toFixed(1)}V${p.y.toFixed(1)}` : `V${p.y.toFixed(1)}H${p.x.toFixed(1)}`;
    d += k ? turn : `M${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
  });
  return d;
}

function volume(svg, f, area) {
  const y = scale({ low: 0, high: 1, texts: [] }, area.bottom, area.top + 4), x = scale({ low: f.trial[0], high: f.trial[f.trial.length - 1], whole: true }, area.left, area.right, { count: 4 });
  axes(svg, area, x, y, { x: "trial", y: "hypervolume, share of the box", left: area.left - 34 });
  el(svg, "path", { class: "line accent", d: steps(f.trial.map((t, k) => [x.at(t), y.at(f.volume[k])])) });
  return f.trial.map((t, k) => ({ x: x.at(t), y: y.at(f.volume[k]), say: [`After trial ${short(t)}`, `hypervolume: ${short(f.volume[k], 4)} of the box`] }));
}

DRAW.Spread = {
  height: (width, f) => f.row.length * 19 + 74,
  draw(svg, width, height, f) {
    const area = box(64, 30, width - 12, height - 44), x = scale(f.objective, area.left + 4, area.right - 4, { count: width / 130 });
    axes(svg, area, x, null, { x: f.objective.name, y: `trial, the best first; ${f.models} models each` });
    const at = (i) => area.top + 9 + i * 19, points = f.value.map((v, i) => ({ x: x.at(v), y: at(i), row: f.row[i] }));
    if (f.within > 0) el(svg, "rect", { class: "area accent", x: Math.min(x.at(f.value[0] - f.error[0]), x.at(f.value[0] + f.error[0])), y: area.top, width: Math.abs(x.at(f.value[0] + f.error[0]) - x.at(f.value[0] - f.error[0])), height: area.bottom - area.top });
    f.value.forEach((v, i) => {
      el(svg, "text", { x: area.left - 10, y: at(i) + 4, "text-anchor": "end" }, short(f.trial[i]));
      el(svg, "path", { class: "line soft", d: `M${x.at(v - f.deviation[i])} ${at(i)}H${x.at(v + f.deviation[i])}`, style: "stroke-width:1.5px" });
      el(svg, "path", { class: "line accent", d: `M${x.at(v - f.error[i])} ${at(i)}H${x.at(v + f.error[i])}`, style: "stroke-width:3px;stroke-opacity:.55" });
    });
    dots(svg, points.map((p) => [p.x, p.y]), "accent", 7, 1);
    const note = f.within > 1 ? `${f.within} of the ${f.row.length} best lie within one standard error of the best: chance may have ordered them.` : "No other trial lies within one standard error of the best.";
    return { points, legend: [["standard deviation", "soft", "-"], ["standard error", "accent", "-"]], note, table: [["trial", f.objective.name, "deviation", "standard error"], () => f.row.map((row, i) => [here().trial[row], f.value[i], f.deviation[i], f.error[i]])] };
  },
};

DRAW.HeldOut = {
  height: (width) => Math.min(400, Math.max(290, width * 0.75)),
  draw(svg, width, height, f) {
    const area = box(62, 30, width - 12, height - 44), x = scale(f.chosen, area.left + 8, area.right - 8, { count: 4 }), y = scale(f.other, area.bottom - 8, area.top + 8);
    axes(svg, area, x, y, { x: f.chosen.name, y: f.other.name });
    const low = Math.max(f.chosen.low, f.other.low), high = Math.min(f.chosen.high, f.other.high);
    if (high > low) el(svg, "path", { class: "line soft", d: `M${x.at(low)} ${y.at(low)}L${x.at(high)} ${y.at(high)}`, "stroke-dasharray": "3 4", style: "stroke-width:1.3px" });
    const points = f.row.map((row, i) => ({ x: x.at(f.value[i]), y: f.fresh[i] === null ? area.bottom - 3 : y.at(f.fresh[i]), row, failed: f.fresh[i] === null }));
    dots(svg, points.filter((p) => !p.failed).map((p) => [p.x, p.y]), "soft", 5, 0.75);
    crosses(svg, points.filter((p) => p.failed).map((p) => [p.x, p.y]));
    const best = f.best.map((i) => points[i]);
    el(svg, "path", { class: "line accent", d: path(best.map((p) => [p.x, p.y])), style: "stroke-width:1.3px;stroke-opacity:.6" });
    dots(svg, best.map((p) => [p.x, p.y]), "accent", 7, 1);
    const gap = f.gap === null ? "" : `The ${f.best.length > 1 ? "last best" : "winner"} looks ${short(Math.abs(f.gap), 3)} ${f.gap > 0 ? "better" : "worse"} where it was chosen.`;
    return { points, legend: [[f.best.length > 1 ? "best so far, in order" : "the winner of the search", "accent", "o"], ["others", "soft", "o"], ["equal", "soft", "-"]], note: gap, table: [["trial", f.chosen.name, f.other.name], () => f.row.map((row, i) => [here().trial[row], f.value[i], f.fresh[i]])] };
  },
};
