// The table of all trials: sorted by any column, filtered by words and comparisons, a page at a time.
const PAGE = 50;
const OPERATORS = { "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, ">": (a, b) => a > b, "=": (a, b) => a === b };

// What is asked for first stands first, and stays where the others are scrolled: the trial and the objective.
function columnsOfTrials(s) {
  const failed = (row) => s.feasible[row] === 0, metric = (name, i) => ({ name, value: (row) => s.score[i][row] }), num = s.objectives.length;
  return [
    { name: "trial", value: (row) => s.trial[row] },
    ...s.metrics.slice(0, num).map(metric),
    ...s.axes.map((axis, i) => ({ name: axis.name, text: axis.texts.length > 0, value: (row) => { const v = s.value[i][row]; return v === null ? null : axis.texts.length ? axis.texts[v] : v; } })),
    { name: "status", text: true, value: (row) => STATUS[s.status[row]] },
    ...(s.constraints.length ? [{ name: "feasible", text: true, value: (row) => (failed(row) ? "no" : "yes") }] : []),
    ...s.metrics.slice(num).map((name, i) => metric(name, num + i)),
    { name: "steps", value: (row) => s.steps[row] },
    ...(s.parent.some((p) => p >= 0) ? [{ name: "from", value: (row) => (s.parent[row] < 0 ? null : s.trial[s.parent[row]]) }] : []),
  ];
}

// A filter is words apart by spaces: `name<3`, `name=text`, or a text that a row has; "quotes" keep spaces.
function filterOf(text, columns) {
  const words = (text.match(/(?:"[^"]*"|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ""));
  const tests = words.map((word) => {
    const found = word.match(/^(.+?)(<=|>=|!=|<|>|=)(.*)$/), column = found && columns.find((c) => c.name === found[1]);
    if (!column) return (row) => columns.some((c) => String(c.value(row) ?? "").toLowerCase().includes(word.toLowerCase()));
    const [, , sign, given] = found, number = given !== "" && !Number.isNaN(Number(given)) ? Number(given) : given;
    return (row) => { const v = column.value(row); return v === null ? sign === "!=" : OPERATORS[sign](typeof v === "number" ? v : String(v), typeof v === "number" ? number : String(given)); };
  });
  return (row) => tests.every((test) => test(row));
}

function compared(column, down) {
  return (a, b) => {
    const x = column.value(a), y = column.value(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return x === y ? a - b : (x < y) === down ? 1 : -1;
  };
}

function trialTable(parent) {
  const s = here(), columns = columnsOfTrials(s), saved = kept.table ?? {};
  const host = el(parent, "section", { id: "trials", "aria-labelledby": "trials-title" });
  const figure = el(host, "figure", { class: "wide" }), caption = el(figure, "figcaption");
  el(caption, "h2", { id: "trials-title" }, "All trials");
  el(caption, "p", {}, `The best ${s.objectives[0][0]} first; what failed comes last. Sort by a heading. Filter by words or comparisons, such as status=done or lr<0.01. A row selects its trial in every figure.`);
  const tools = el(figure, "div", { class: "tools" }), input = el(tools, "input", { type: "search", placeholder: "Filter trials", "aria-label": "Filter trials", value: saved.filter ?? "" });
  const said = el(tools, "span", { role: "status" }), back = el(tools, "button", { type: "button", class: "quiet" }, "‹ Previous"), next = el(tools, "button", { type: "button", class: "quiet" }, "Next ›");
  const scroll = el(figure, "div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of trials" }), table = el(scroll, "table", { class: "full" });
  const heads = headings(table, columns), body = el(table, "tbody");
  const view = { sort: 1, down: s.objectives[0][1] === "max", page: 0, rows: [], ...saved };  // the best first
  if (view.sort >= columns.length) view.sort = 0;
  const all = s.trial.map((t, row) => row);
  function sieve() {
    const wanted = filterOf(input.value, columns);
    view.rows = all.filter(wanted).sort(compared(columns[view.sort], view.down));
    view.page = Math.min(view.page, Math.max(0, Math.ceil(view.rows.length / PAGE) - 1));
    heads.forEach((th, i) => th.setAttribute("aria-sort", i === view.sort ? (view.down ? "descending" : "ascending") : "none"));
    show();
  }
  function show() {
    const first = view.page * PAGE, rows = view.rows.slice(first, first + PAGE);
    body.replaceChildren();
    for (const row of rows) line(body, columns, row);
    said.textContent = view.rows.length ? `${short(first + 1)}–${short(first + rows.length)} of ${short(view.rows.length)}` : "no trial fits";
    back.disabled = view.page === 0;
    next.disabled = first + PAGE >= view.rows.length;
    kept.table = { sort: view.sort, down: view.down, page: view.page, filter: input.value };
    remember();
  }
  heads.forEach((th, i) => th.firstChild.addEventListener("click", () => { view.down = view.sort === i ? !view.down : false; view.sort = i; view.page = 0; sieve(); }));
  input.addEventListener("input", () => { view.page = 0; sieve(); });
  back.addEventListener("click", () => { view.page--; show(); });
  next.addEventListener("click", () => { view.page++; show(); });
  state.listeners.push((row) => {
    for (const tr of body.rows) tr.setAttribute("aria-current", Number(tr.dataset.row) === row);
  });
  sieve();
}

function headings(table, columns) {
  const row = el(el(table, "thead"), "tr");
  return columns.map((column) => {
    const th = el(row, "th", { scope: "col", class: column.text ? "text" : null });
    el(th, "button", { type: "button", title: column.name }, column.name);
    return th;
  });
}

function line(body, columns, row) {
  const tr = el(body, "tr", { tabindex: 0, "data-row": row, "aria-current": String(state.row === row) });
  for (const column of columns) {
    const value = column.value(row), td = el(tr, "td", { class: value === null ? "none" : column.text ? "text" : null, title: column.text && value !== null ? value : null });
    if (column === columns[0]) el(td, "span", { class: `dot ${STATUS[here().status[row]]}`, title: STATUS[here().status[row]] });
    td.append(short(value));
  }
  tr.addEventListener("click", () => select(row));
  tr.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(row); } });
}
