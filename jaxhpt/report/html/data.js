// The data of the page: arrays stand once, and figures refer to them by their place.
const told = JSON.parse(document.getElementById("data").textContent);

function whole(value) {
  if (Array.isArray(value)) return value.map(whole);
  if (value === null || typeof value !== "object") return value;
  if ("a" in value) return told.arrays[value.a];
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, whole(part)]));
}

const searches = told.searches.map(whole);
const together = whole(told.together);
const STATUS = told.statuses;
const state = { search: 0, row: -1, listeners: [] };
const here = () => searches[state.search];

function short(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(digits - 2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

function onAxis(axis, value) {
  if (value === null || value === undefined) return "–";
  return axis.texts.length ? axis.texts[value] : short(value);
}

// What is known of a trial: a title, then [name, text] pairs.
function about(row) {
  const s = here(), pairs = s.metrics.map((name, i) => [name, short(s.score[i][row])]);
  s.axes.forEach((axis, i) => {
    if (s.value[i][row] !== null) pairs.push([axis.name, onAxis(axis, s.value[i][row])]);
  });
  pairs.push(["steps", short(s.steps[row])]);
  if (s.constraints.length) pairs.push(["constraints", s.feasible[row] ? "kept" : "broken"]);
  if (s.parent[row] >= 0) pairs.push(["went on from trial", short(s.trial[s.parent[row]])]);
  return [`Trial ${short(s.trial[row])}, ${STATUS[s.status[row]]}`, pairs];
}

function lines(row) {
  const [title, pairs] = about(row);
  return [title, ...pairs.map(([name, text]) => `${name}: ${text}`)];
}

function select(row) {
  state.row = state.row === row ? -1 : row;
  remember();
  for (const listen of state.listeners) listen(state.row);
}
