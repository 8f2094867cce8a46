// Figures of training over time: learning curves, lanes, rungs, lineage, endings.
DRAW.Curves = {
  wide: true,
  height: (width) => (width < 560 ? 300 : 360),
  draw(svg, width, height, f) {
    const area = box(58, 30, width - 12, height - 44), last = Math.max(...f.steps.map((s) => s[s.length - 1] ?? 1));
    const x = scale({ low: 0, high: last, whole: true }, area.left, area.right - 4, { count: width / 120 }), y = scale(f.objective, area.bottom - 6, area.top + 4, { count: 6 });
    axes(svg, area, x, y, { x: "training steps", y: titled(f.objective) });
    const lines = f.row.map((row, i) => f.steps[i].map((s, j) => [s, f.value[i][j]]).filter((p) => p[1] !== null).map(([s, v]) => [x.at(s), y.at(v)]));
    const groups = {};
    lines.forEach((line, i) => (groups[STATUS[f.status[i]]] ??= []).push(path(line)));
    for (const kind of ["stopped", "failed", "running", "prior", "done"]) if (groups[kind]) el(svg, "path", { class: `thin ${kind}`, d: groups[kind].join(""), style: kind === "done" ? "stroke-opacity:.75" : null });
    const ends = lines.map((line, i) => ({ at: line[line.length - 1], row: f.row[i], status: f.status[i] })).filter((e) => e.at);
    statusDots(svg, ends.filter((e) => STATUS[e.status] !== "failed").map((e) => [...e.at, e.status]), 5);
    crosses(svg, ends.filter((e) => STATUS[e.status] === "failed").map((e) => e.at));
    const place = new Map(f.row.map((row, i) => [row, i])), points = lines.flatMap((line, i) => line.map(([px, py]) => ({ x: px, y: py, row: f.row[i] })));
    const few = f.row.length < f.of ? `${f.row.length} of ${short(f.of)} trials: the best half of these, and others evenly spread. ` : "";
    const cut = f.value[0] && f.value[0].length < f.reports ? `${f.value[0].length} of ${f.reports} reports of each.` : "";
    return {
      points, mark: (group, row) => place.has(row) && el(group, "path", { class: "path", d: path(lines[place.get(row)]) }), legend: statusLegend(f.status), note: few + cut + noteOf(f.objective),
      table: [["trial", "status", "steps", f.objective.name], () => f.row.flatMap((row, i) => f.steps[i].map((s, j) => [here().trial[row], STATUS[f.status[i]], s, f.value[i][j]]).filter((r) => r[3] !== null))],
    };
  },
};

DRAW.Lanes = {
  wide: true,
  height: (width, f) => Math.min(520, Math.max(110, laneCount(f) * 13) + 66),
  draw(svg, width, height, f) {
    const area = box(46, 22, width - 8, height - 44), high = (area.bottom - area.top) / laneCount(f);
    const x = scale({ low: 0, high: Math.max(...f.last), whole: true }, area.left, area.right, { count: width / 120 });
    const air = high > 6 ? 1.5 : high > 3 ? 0.6 : 0, parts = {};
    const rect = (i) => [x.at(f.first[i]), area.top + f.lane[i] * high + air / 2, Math.max(0.8, x.at(f.last[i]) - x.at(f.first[i]) - (air ? 1 : 0)), Math.max(0.5, high - air)];
    f.row.forEach((row, i) => {
      const [left, top, wide, tall] = rect(i).map((v) => v.toFixed(1));
      (parts[STATUS[f.status[i]]] ??= []).push(`M${left} ${top}h${wide}v${tall}h-${wide}z`);
    });
    axes(svg, area, x, null, { x: "steps trained in a lane" });
    for (const [kind, d] of Object.entries(parts)) el(svg, "path", { class: `fill ${kind}`, d: d.join(""), "fill-opacity": kind === "stopped" ? 0.75 : 0.9 });
    el(svg, "text", { x: 0, y: area.top + 9 }, "lane 1");
    el(svg, "text", { x: 0, y: area.bottom - 2 }, String(laneCount(f)));
    const place = new Map(f.row.map((row, i) => [row, i]));
    const points = f.row.map((row, i) => { const [l, t, w, h] = rect(i); return { x: l + w / 2, y: t + h / 2, row, box: [l, t, w, h] }; });
    const mark = (group, row) => { if (place.has(row)) { const [l, t, w, h] = rect(place.get(row)); el(group, "rect", { class: "box", x: l - 1, y: t - 1, width: w + 2, height: h + 2 }); } };
    return { points, mark, legend: statusLegend(f.status).map(([text, kind]) => [text, kind, "#"]), note: "Trials are put here into the first lane that is free, as the search fills them: the row need not be the very lane on the device.", table: [["trial", "lane", "from", "to", "status"], () => f.row.map((row, i) => [here().trial[row], f.lane[i] + 1, f.first[i], f.last[i], STATUS[f.status[i]]])] };
  },
};

const laneCount = (f) => Math.max(f.num, ...f.lane.map((l) => l + 1).slice(0, 20000));

DRAW.Rungs = {
  height: (width) => (width < 560 ? 260 : 300),
  draw(svg, width, height, f) {
    const area = box(8, 44, width - 8, height - 40), num = f.steps.length, gap = (area.right - area.left) / (num + 0.15), bar = Math.min(18, gap * 0.25);
    const tall = (v) => ((area.bottom - area.top) * v) / f.reached[0], spots = [];
    f.steps.forEach((level, i) => {
      const left = area.left + i * gap, going = i + 1 < num ? f.reached[i + 1] : 0, parts = [["done", f.done[i]], ["running", f.running[i]], ["failed", f.failed[i]], ["stopped", f.stopped[i]]];
      el(svg, "rect", { class: "fill accent", x: left, y: area.top, width: bar, height: Math.max(1, tall(f.reached[i])), rx: 1 });
      if (going) ribbon(svg, "accent", left + bar, area.top, left + gap, area.top, tall(going));
      let top = area.top + tall(going);
      for (const [kind, count] of parts) {
        if (!count) continue;
        const down = kind === "done" ? 0 : 10;
        ribbon(svg, kind, left + bar, top, left + bar + gap * 0.42, top + down, tall(count), true);
        spots.push({ x: left + bar + gap * 0.2, y: top + tall(count) / 2, say: [`${short(count)} ${kind}`, i + 1 < num ? `from step ${short(level)} on, before step ${short(f.steps[i + 1])}` : `at step ${short(level)}`, `${((100 * count) / f.reached[0]).toFixed(1)}% of all`] });
        top += tall(count);
      }
      el(svg, "text", { class: "strong", x: left, y: area.top - 10 }, short(f.reached[i]));
      el(svg, "text", { x: left, y: area.bottom + 26 }, `step ${short(level)}`);
      spots.push({ x: left + bar / 2, y: area.top + tall(f.reached[i]) / 2, say: [`${short(f.reached[i])} came to step ${short(level)}`, `${((100 * f.reached[i]) / f.reached[0]).toFixed(1)}% of all`] });
    });
    const legend = [["went on", "went", "#"], ...["done", "stopped", "failed", "running"].filter((k) => f[k].some((v) => v)).map((k) => [k, k, "#"])];
    return { points: [], spots, legend, table: [["step", "reached", "stopped", "failed", "done", "running"], () => f.steps.map((s, i) => [s, f.reached[i], f.stopped[i], f.failed[i], f.done[i], f.running[i]])] };
  },
};

function ribbon(svg, kind, x0, y0, x1, y1, tall, fade = false) {
  const middle = (x0 + x1) / 2, d = `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}v${tall}C${middle} ${y1 + tall} ${middle} ${y0 + tall} ${x0} ${y0 + tall}z`;
  el(svg, "path", { class: `fill ${kind}`, d, "fill-opacity": fade ? 0.5 : 0.2 });
}

DRAW.Lineage = {
  wide: true,
  height: (width) => (width < 560 ? 320 : 400),
  options: (f) => [["y", "height", [...f.axes.map((a, i) => [String(i), a.name]), ["family", "family"]]]],
  draw(svg, width, height, f, options) {
    const area = box(62, 30, width - 12, height - 44), family = options.y === "family", d = family ? 0 : Number(options.y ?? 0);
    const x = scale({ low: 0, high: Math.max(...f.last), whole: true }, area.left, area.right, { count: width / 120 });
    const y = family ? scale({ low: 0, high: f.family.length - 1, texts: [] }, area.top, area.bottom) : scale(f.axes[d], area.bottom - 4, area.top + 4);
    axes(svg, area, x, family ? null : y, { x: "training steps behind the weights", y: family ? "trials by family" : f.axes[d].name });
    const high = (i) => (family ? y.at(f.family[i]) : f.place[d][i] === null ? area.bottom : y.from + (y.to - y.from) * f.place[d][i]);
    const part = (i, last) => `M${x.at(f.first[i]).toFixed(1)} ${high(i).toFixed(1)}H${x.at(last).toFixed(1)}${f.parent[i] < 0 ? "" : `M${x.at(f.first[i]).toFixed(1)} ${high(f.parent[i]).toFixed(1)}V${high(i).toFixed(1)}`}`;
    const every = f.row.map((row, i) => i);
    el(svg, "path", { class: "thin stopped", d: every.map((i) => part(i, f.last[i])).join("") });
    el(svg, "path", { class: "line accent", d: lifeline(f, f.winner[f.winner.length - 1] ?? -1, part) });
    const place = new Map(f.row.map((row, i) => [row, i]));
    const mark = (group, row) => { if (place.has(row)) el(group, "path", { class: "path", d: lifeline(f, place.get(row), part) }); };
    const points = every.flatMap((i) => [0.02, 0.5, 0.98].map((t) => ({ x: x.at(f.first[i] + t * (f.last[i] - f.first[i])), y: high(i), row: f.row[i] })));
    return { points, mark, legend: [["the winner and its ancestors", "accent", "-"], ["others", "stopped", "-"]], table: [["trial", "parent", "from step", "to step", ...f.axes.map((a) => a.name)], () => every.map((i) => [here().trial[f.row[i]], f.parent[i] < 0 ? null : here().trial[f.row[f.parent[i]]], f.first[i], f.last[i], ...f.axes.map((axis, k) => cell2(axis, f.place[k][i]))])] };
  },
};

// A trial and its ancestors, each up to where the next went on.
function lifeline(f, i, part) {
  let d = "";
  for (let last = f.last[i]; i >= 0; last = f.first[i], i = f.parent[i]) d += part(i, last);
  return d;
}

DRAW.Endings = {
  height: (width) => (width < 560 ? 260 : 300),
  draw(svg, width, height, f) {
    const area = box(52, 30, width - 12, height - 44), total = f.count.reduce((a, b) => a + b, 0), spots = [];
    const x = scale({ low: 0, high: f.tick[f.tick.length - 1], whole: true }, area.left, area.right, { count: width / 130 }), y = scale({ low: 0, high: total, whole: true, texts: [] }, area.bottom, area.top);
    axes(svg, area, x, y, { x: "steps trained in a lane", y: "trials that ended" });
    let below = f.tick.map(() => 0);
    f.names.forEach((name, k) => {
      const above = below.map((v, t) => v + f.ended[k][t]);
      const there = (values) => [[area.left, area.bottom], ...values.map((v, t) => [x.at(f.tick[t]), y.at(v)])];
      const line = path(there(above)), back = there(below).reverse().map(([a, b]) => `L${a.toFixed(1)} ${b.toFixed(1)}`).join("");
      el(svg, "path", { class: `fill ${name}`, d: `${line}${back}z`, "fill-opacity": name === "done" ? 0.75 : 0.5 });
      f.tick.forEach((t, i) => spots.push({ x: x.at(t), y: y.at((below[i] + above[i]) / 2), say: [`${short(f.ended[k][i])} ${name}`, `until step ${short(t)} of a lane`] }));
      below = above;
    });
    const legend = f.names.map((name, i) => [`${name} ${short(f.count[i])} (${((100 * f.count[i]) / total).toFixed(0)}%)`, name, "#"]);
    return { points: [], spots, legend, note: f.running ? `${short(f.running)} are running.` : "", table: [["until", ...f.names], () => f.tick.map((t, i) => [t, ...f.ended.map((e) => e[i])])] };
  },
};
