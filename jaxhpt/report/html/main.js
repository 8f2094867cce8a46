// The page: figures in their places, the tip, the selected trial, the theme, and reloading while a search runs.
const KEY = "jaxhpt " + location.pathname;
const kept = (() => { try { return JSON.parse(sessionStorage.getItem(KEY)) ?? {}; } catch { return {}; } })();
const main = document.getElementById("main"), tip = document.getElementById("tip"), chosen = document.getElementById("chosen");
const drawn = [];

function remember() {
  kept.row = state.row < 0 ? null : here().trial[state.row];
  kept.search = state.search;
  kept.scroll = scrollY;
  try { sessionStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* private windows have no storage */ }
}

function say(lines, x, y) {
  tip.replaceChildren();
  lines.forEach((text, i) => el(tip, i ? "span" : "b", {}, text));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, x + 14))}px`;
  tip.style.top = `${y + height + 22 > innerHeight ? Math.max(8, y - height - 14) : y + 14}px`;
}

const hush = () => { tip.hidden = true; };

function nearest(spots, x, y, reach) {
  let best = null, least = reach * reach;
  for (const spot of spots) {
    if (spot.box && x >= spot.box[0] && x <= spot.box[0] + spot.box[2] && y >= spot.box[1] && y <= spot.box[1] + spot.box[3]) return spot;
    const far = (spot.x - x) ** 2 + (spot.y - y) ** 2;
    if (far < least) { least = far; best = spot; }
  }
  return best;
}

// One figure: its caption, its options, its drawing, its numbers.
function place(parent, entry, prefix) {
  const [, first] = entry.variants[0], kind = DRAW[first.kind], id = `${prefix}${entry.name}`;
  const figure = el(parent, "figure", { id, class: kind.wide ? "wide" : null, "aria-labelledby": `${id}-title` });
  const caption = el(figure, "figcaption");
  el(caption, "h2", { id: `${id}-title` }, entry.title);
  const choices = el(caption, "div", { class: "options" });
  el(caption, "p", { id: `${id}-hint` }, entry.hint);
  const host = el(figure, "div"), legend = el(figure, "ul", { class: "legend" }), note = el(figure, "p", { class: "note" });
  const one = { figure, host, legend, note, entry, kind, id, chosen: (kept[id] ??= {}), choices, width: 0 };
  if (entry.variants.length > 1) choice(one, "variant", "objective", entry.variants.map(([label], i) => [String(i), label]));
  for (const [name, label, values] of kind.options ? kind.options(first) : []) choice(one, name, label, values);
  numbers(one);
  drawn.push(one);
  return one;
}

function choice(one, name, label, values) {
  const host = el(one.choices, "label", {}, label), list = el(host, "select");
  for (const [value, text] of values) el(list, "option", { value }, text);
  if (values.some(([value]) => value === one.chosen[name])) list.value = one.chosen[name];
  list.addEventListener("change", () => { one.chosen[name] = list.value; remember(); draw(one); });
}

function draw(one) {
  const data = one.entry.variants[Number(one.chosen.variant ?? 0)]?.[1] ?? one.entry.variants[0][1];
  const width = one.host.clientWidth || 320, height = Math.round(one.kind.height(width, data));
  one.width = width;
  one.host.replaceChildren();
  one.host.style.minHeight = "";
  const svg = el(one.host, "svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-labelledby": `${one.id}-svg-title`, "aria-describedby": `${one.id}-hint` });
  el(svg, "title", { id: `${one.id}-svg-title` }, `${one.entry.title}. ${one.entry.hint} Arrow keys walk through it, Enter selects a trial.`);
  one.found = one.kind.draw(svg, width, height, data, one.chosen);
  one.marks = el(svg, "g", { "aria-hidden": "true" });
  one.spots = [...one.found.points, ...(one.found.spots ?? [])];
  one.note.textContent = one.found.note ?? "";
  one.note.hidden = !one.note.textContent;
  one.legend.replaceChildren();
  for (const part of one.found.legend ?? []) legendOf(one.legend, ...part);
  watchPointer(one, svg);
  watchKeys(one, svg);
  mark(one, state.row);
}

function legendOf(list, text, kind, shape, dashed = null) {
  const item = el(list, "li"), svg = el(item, "svg", { viewBox: shape === "-" ? "0 0 24 10" : "0 0 18 10", style: shape === "-" ? "width:24px" : null, "aria-hidden": "true" });
  if (shape === "-") el(svg, "path", { class: `line ${kind}`, d: "M0 5h24", "stroke-dasharray": dashed, "stroke-linecap": dashed ? "butt" : null });
  else if (shape === "x") crosses(svg, [[9, 5]], kind);
  else if (shape === "#") el(svg, "rect", { class: `fill ${kind}`, x: 3, y: 0, width: 12, height: 10, rx: 2 });
  else dots(svg, [[9, 5]], kind, 7, 0.9);
  el(item, "span", {}, text);
}

function mark(one, row) {
  if (!one.marks) return;
  one.marks.replaceChildren();
  if (row < 0) return;
  if (one.found.mark) one.found.mark(one.marks, row);
  else for (const p of one.found.points.filter((q) => q.row === row).slice(0, 60)) ring(one.marks, p.x, p.y);
}

function watchPointer(one, svg) {
  const at = (event) => { const r = svg.getBoundingClientRect(); return nearest(one.spots, event.clientX - r.left, event.clientY - r.top, event.pointerType === "touch" ? 32 : 18); };
  svg.addEventListener("pointermove", (event) => {
    const spot = at(event);
    svg.style.cursor = spot && (spot.row !== undefined || spot.search !== undefined) ? "pointer" : "";
    if (spot) say(spot.say ?? lines(spot.row), event.clientX, event.clientY); else hush();
    if (state.row < 0 || spot) mark(one, spot && spot.row !== undefined ? spot.row : state.row);
  });
  svg.addEventListener("pointerleave", () => { hush(); mark(one, state.row); });
  svg.addEventListener("click", (event) => {
    const spot = at(event);
    if (spot && spot.row !== undefined) select(spot.row);
    else if (spot && spot.search !== undefined && one.together && spot.search < searches.length) show(spot.search);
  });
}

function watchKeys(one, svg) {
  const order = [...one.spots].sort((a, b) => a.x - b.x || a.y - b.y);
  let now = -1;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (step && order.length) {
      event.preventDefault();
      now = Math.max(0, Math.min(order.length - 1, now + step));
      const spot = order[now], r = svg.getBoundingClientRect();
      say(spot.say ?? lines(spot.row), r.left + spot.x, r.top + spot.y);
      if (spot.row !== undefined) mark(one, spot.row); else { one.marks.replaceChildren(); ring(one.marks, spot.x, spot.y); }
    } else if ((event.key === "Enter" || event.key === " ") && now >= 0 && order[now].row !== undefined) {
      event.preventDefault();
      select(order[now].row);
    }
  });
  svg.addEventListener("blur", () => { hush(); mark(one, state.row); });
}

// The numbers behind a figure, for those who do not see it.
function numbers(one) {
  const details = el(one.figure, "details");
  el(details, "summary", {}, "Numbers");
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    if (!one.width) draw(one);
    while (details.children.length > 1) details.lastChild.remove();
    const [head, rows] = one.found.table, all = rows(), most = 500;
    const scroll = el(details, "div", { class: "scroll", style: "max-height:320px;overflow:auto", tabindex: 0, role: "region", "aria-label": `Numbers of ${one.entry.title}` });
    simple(scroll, head, all.slice(0, most));
    if (all.length > most) el(details, "p", { class: "note" }, `The first ${most} of ${short(all.length)} rows.`);
  });
}

function simple(parent, head, rows) {
  const table = el(parent, "table", { class: "plain" }), top = el(el(table, "thead"), "tr"), body = el(table, "tbody");
  for (const name of head) el(top, "th", { scope: "col" }, name);
  for (const row of rows) {
    const tr = el(body, "tr");
    for (const value of row) el(tr, "td", { class: value === null ? "none" : null }, short(value));
  }
  return body;
}

function card(row) {
  chosen.replaceChildren();
  chosen.hidden = row < 0;
  if (row < 0) return;
  const bar = el(chosen, "div", { class: "bar" }), [title, pairs] = about(row);
  el(bar, "strong", {}, title);
  const close = el(bar, "button", { type: "button", class: "quiet", "aria-label": "Clear the selection" }, "Close");
  close.addEventListener("click", () => select(state.row));
  const list = el(chosen, "dl");
  for (const [name, text] of pairs) {
    el(list, "dt", {}, name);
    el(list, "dd", {}, text);
  }
}

function show(index) {
  state.search = index;
  state.row = -1;
  state.listeners = [card, (row) => drawn.forEach((one) => mark(one, row))];
  const old = document.getElementById("detail");
  if (old) { for (const one of drawn.filter((d) => d.detail)) drawn.splice(drawn.indexOf(one), 1); old.remove(); }
  const detail = el(main, "div", { id: "detail" }), s = here();
  if (together) el(detail, "h2", { class: "left-out", id: "one-search" }, `Search: ${s.name}`);
  const grid = el(detail, "div", { class: "figures" });
  for (const entry of s.figures) place(grid, entry, "").detail = true;
  if (s.of > s.trial.length) el(detail, "p", { class: "note" }, `Of ${short(s.of)} trials, ${short(s.trial.length)} are shown one by one: the best half of these, and others evenly spread. Counts are of all.`);
  if (s.trial.length) trialTable(detail);
  else el(detail, "p", { class: "empty" }, "No trial has ended yet.");
  leftOut(detail, s.missing);
  links();
  card(-1);
  drawSoon();
}

function leftOut(parent, missing) {
  if (!missing.length) return;
  const host = el(parent, "section", { class: "left-out" });
  el(host, "h2", {}, "Not shown");
  const list = el(host, "ul");
  for (const [title, why] of missing) { const item = el(list, "li"); el(item, "b", {}, title); item.append(` – ${why}`); }
}

function links() {
  const nav = document.getElementById("nav"), list = document.createElement("ul");
  const parts = [...drawn.map((one) => [one.id, one.entry.title]), ...(here().trial.length ? [["trials", "All trials"]] : [])];
  for (const [id, text] of parts) el(el(list, "li"), "a", { href: `#${id}` }, text);
  nav.replaceChildren(...(parts.length > 1 ? [list] : []));
}

// Figures are drawn as they come near, so that a page of many trials opens at once.
const seen = new IntersectionObserver((found) => {
  for (const { target, isIntersecting } of found) {
    const one = drawn.find((d) => d.figure === target);
    if (isIntersecting && one && !one.width) draw(one);
  }
}, { rootMargin: "700px" });

function drawSoon() {
  for (const one of drawn) if (!one.width) { one.host.style.minHeight = `${one.kind.height(one.host.clientWidth || 320, one.entry.variants[0][1])}px`; seen.observe(one.figure); }
}

function drawAll() { for (const one of drawn) if (!one.width) draw(one); }

function overview() {
  const grid = el(main, "div", { class: "figures" });
  const figure = el(grid, "figure", { class: "wide", id: "searches" }), caption = el(figure, "figcaption");
  el(caption, "h2", {}, "Searches");
  const few = searches.length < together.searches.length ? ` Trials are here of the first ${searches.length}.` : "";
  el(caption, "p", {}, `The settings are those of the best trial. A row shows its search below.${few}`);
  const scroll = el(figure, "div", { class: "scroll", style: "max-height:420px;overflow:auto", tabindex: 0, role: "region", "aria-label": "Table of searches" });
  const body = simple(scroll, together.columns, together.searches);
  scroll.firstChild.className = "full";
  [...body.rows].forEach((tr, i) => {
    if (i >= searches.length) { tr.style.cursor = "default"; return; }
    tr.tabIndex = 0;
    const go = () => { show(i); remember(); document.getElementById("one-search").scrollIntoView(); };
    tr.addEventListener("click", go);
    tr.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  });
  for (const entry of together.figures) place(grid, entry, "all-").together = true;
  leftOut(main, together.missing);
}

function theme() {
  const button = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const set = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    const now = name ?? (dark.matches ? "dark" : "light");
    button.textContent = now === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Show the page ${now === "dark" ? "light" : "dark"}`);
    return now;
  };
  set(kept.theme);
  button.hidden = false;
  button.addEventListener("click", () => { const now = kept.theme ?? (dark.matches ? "dark" : "light"); kept.theme = now === "dark" ? "light" : "dark"; set(kept.theme); remember(); });
  dark.addEventListener("change", () => set(kept.theme));
}

// While a search runs the page is written anew: look at it again, unless somebody is about to do something.
function reload(seconds) {
  const busy = () => document.activeElement?.matches("input, select") || !tip.hidden;
  setTimeout(() => { if (busy()) { reload(2); return; } remember(); location.reload(); }, 1000 * seconds);
}

function start() {
  theme();
  if (together) overview();
  const saved = kept.search < searches.length ? kept.search : 0;
  const trial = kept.row, y = kept.scroll;
  show(saved);
  const row = trial === null || trial === undefined ? -1 : here().trial.indexOf(trial);
  if (row >= 0) select(row);
  if (told.reload && y) { drawAll(); scrollTo({ top: y, behavior: "instant" }); }
  if (told.reload) reload(told.reload);
  let wait = 0;
  const again = () => { for (const one of drawn) if (one.width && one.width !== one.host.clientWidth) draw(one); };
  new ResizeObserver(() => { clearTimeout(wait); wait = setTimeout(again, 60); }).observe(main);
  addEventListener("scroll", hush, { passive: true });
  addEventListener("beforeprint", drawAll);
  addEventListener("pagehide", remember);
  addEventListener("keydown", (event) => { if (event.key === "Escape") { hush(); if (state.row >= 0) select(state.row); } });
}

start();
