// The side panel: what the loop is doing, as the demo publishes it. Hidden until something was published.

import { byId, make, svg } from "./dom.js";
import { currentLanguage, word } from "./words.js";

const WIDTH = 280;
const HEIGHT = 150;
const LEFT = 42;
const BOTTOM = 24;
const TOP = 12;
const RIGHT = 18;

// The parts from top to bottom: what each shows, and how that is drawn. A part is drawn anew only when that has changed.
const PARTS = [
  { of: ({ version, ratings, texts }) => ({ version, ratings, texts }), draw: facts },
  { of: ({ run }) => run, draw: progress },
  { of: ({ verdict }) => verdict, draw: (verdict) => [make("p.verdict", {}, verdict[currentLanguage()])] },
  { of: ({ versions, version }) => versions?.length && { versions, serving: version }, draw: byVersion },
  { of: ({ newest }) => newest?.length && newest, draw: newestRatings },
  { of: ({ evenings }) => evenings?.length > 1 && evenings, draw: byEvening },
];

let panel = {};

export function showPanel(published) {
  panel = published ?? {};
  redrawPanel();
}

export function redrawPanel() {
  const isEmpty = Object.keys(panel).length === 0;
  document.body.classList.toggle("has-panel", !isEmpty);
  byId("panel").hidden = isEmpty;
  byId("panel-toggle").hidden = isEmpty;
  if (isEmpty) return;
  drawToggle();
  const body = byId("panel-body");
  if (!body.children.length) body.append(...PARTS.map(() => make("section")));
  PARTS.forEach(({ of, draw }, i) => redrawPart(body.children[i], of(panel), draw));
}

function redrawPart(part, state, draw) {
  const key = JSON.stringify([state, currentLanguage()]);
  if (part.dataset.shown === key) return;
  part.dataset.shown = key;
  part.hidden = !state;
  part.replaceChildren(...(state ? draw(state) : []));
}

// On a narrow screen the button says how far the run is, or how the version that serves is liked.
function drawToggle() {
  const serving = panel.versions?.find((each) => each.name === panel.version) ?? panel.versions?.at(-1);
  const shown = panel.run ? `🌙 ${percent(panel.run.share)}` : serving ? `📈 ${percent(serving.share)}` : "📈";
  byId("panel-toggle").replaceChildren(make("span.hidden", {}, `${word("loop")} `), shown);
  byId("panel-toggle").title = word("loop");
}

export function startPanel() {
  const toggle = (open) => {
    document.body.classList.toggle("panel-open", open);
    byId("panel-toggle").setAttribute("aria-expanded", String(open));
    (open ? byId("panel-close") : byId("panel-toggle")).focus();
  };
  byId("panel-toggle").onclick = () => toggle(!document.body.classList.contains("panel-open"));
  byId("panel-close").onclick = () => toggle(false);
  byId("panel").onkeydown = (event) => event.key === "Escape" && toggle(false);
}

function facts(shown) {
  const known = Object.entries(shown).filter(([, value]) => value !== undefined && value !== null);
  return [make("dl.facts", {}, ...known.map(([name, value]) =>
    make("div", {}, make("dt", {}, word(name)), make("dd", { title: String(value) }, String(value)))))];
}

function progress({ stage, share, seconds_left: left }) {
  const known = left !== undefined && left !== null;
  return [make("label", { htmlFor: "run-progress" }, make("strong", {}, stage[currentLanguage()]), ` ${percent(share)}`),
    make("progress", { max: 1, value: share, id: "run-progress" }),
    make("small", {}, known ? word("secondsLeft", left) : "")];
}

function byVersion({ versions, serving }) {
  const row = (each) => {
    const bar = make("span.bar");
    bar.style.setProperty("--share", each.share ?? 0);
    const liked = make("td", {}, make("span.liked", {}, bar, make("span", {}, percent(each.share))));
    return make(each.name === serving ? "tr.serving" : "tr", {},
      make("th", { scope: "row", title: each.name }, each.name), liked, make("td", {}, String(each.ratings)));
  };
  const head = ["version", "liked", "ratings"].map((name) => make("th", { scope: "col" }, word(name)));
  return [make("table.versions", {}, make("caption", {}, word("perVersion")),
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...versions.map(row)))];
}

function byEvening(evenings) {
  const rows = evenings.map((evening, i) => make("tr", {}, make("th", { scope: "row" }, word("evening", i + 1)),
    make("td", {}, evening.version), make("td", {}, percent(evening.share))));
  return [make("h3", {}, word("perEvening")), chart(evenings),
    make("table.hidden", {}, make("caption", {}, word("perEvening")), make("tbody", {}, ...rows))];
}

function newestRatings(newest) {
  return [make("h3", {}, word("newest")), make("ul.newest", {}, ...newest.map((rating) =>
    make("li", {}, make("span.emoji", {}, rating.emoji), make("span", {}, `/${rating.kind} #${rating.text}`),
      make("span.by", {}, rating.version))))];
}

function chart(evenings) {
  const x = (i) => LEFT + (i / (evenings.length - 1)) * (WIDTH - LEFT - RIGHT - 16) + 8;
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" });
  for (const share of [0, 0.5, 1]) {
    drawing.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "grid" }));
    drawing.append(svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  }
  const line = evenings.map((evening, i) => `${x(i)},${y(evening.share)}`).join(" ");
  drawing.append(svg("polyline", { points: line, class: "line" }));
  const every = Math.ceil(evenings.length / 5);
  evenings.forEach((evening, i) => {
    drawing.append(svg("circle", { cx: x(i), cy: y(evening.share), r: 4, class: "point" },
      svg("title", {}, `${word("evening", i + 1)}: ${percent(evening.share)} · ${evening.version}`)));
    if (i === evenings.length - 1) {
      drawing.append(svg("text", { x: x(i), y: y(evening.share) - 9, "text-anchor": "middle", class: "value" }, percent(evening.share)));
    }
    if (i % every === 0) drawing.append(svg("text", { x: x(i), y: HEIGHT - 6, "text-anchor": "middle" }, String(i + 1)));
  });
  return drawing;
}

function percent(share) {
  return share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`;
}
