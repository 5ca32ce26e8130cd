// The side panel: what the loop is doing, as the demo publishes it. Hidden until something was published.

import { byId, make, svg } from "./dom.js";
import { word } from "./words.js";

const WIDTH = 280;
const HEIGHT = 150;
const LEFT = 42;
const BOTTOM = 24;
const TOP = 12;
const RIGHT = 18;

let panel = {};

export function showPanel(published) {
  panel = published ?? {};
  redrawPanel();
}

export function redrawPanel() {
  const isEmpty = Object.keys(panel).length === 0;
  const toggle = byId("panel-toggle");
  toggle.hidden = isEmpty;
  document.body.classList.toggle("has-panel", !isEmpty);
  byId("panel").hidden = isEmpty;
  if (isEmpty) return;
  const last = panel.nights?.at(-1);
  toggle.replaceChildren(make("span.hidden", {}, word("loop")), last ? `📈 ${percent(last.satisfaction)}` : "📈");
  toggle.title = word("loop");
  byId("panel-body").replaceChildren(...[facts(), run(), verdict(), nights()].filter(Boolean));
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

function facts() {
  const shown = [["version", panel.version], ["ratings", panel.ratings], ["generations", panel.generations]];
  const known = shown.filter(([, value]) => value !== undefined && value !== null);
  return known.length ? make("dl.facts", {}, ...known.map(([name, value]) =>
    make("div", {}, make("dt", {}, word(name)), make("dd", { title: String(value) }, String(value))))) : null;
}

function run() {
  if (!panel.run) return null;
  const { stage, fraction, eta_seconds: eta } = panel.run;
  const bar = make("progress", { max: 1, value: fraction ?? 0, id: "run-progress" });
  const left = eta === undefined || eta === null ? "" : word("secondsLeft", Math.round(eta));
  return make("section.run", {}, make("label", { htmlFor: "run-progress" }, make("strong", {}, stage ?? ""),
    make("span", {}, ` ${percent(fraction ?? 0)}`)), bar, make("small", {}, left));
}

function verdict() {
  return panel.verdict ? make("p.verdict", {}, panel.verdict) : null;
}

function nights() {
  const points = panel.nights ?? [];
  if (!points.length) return null;
  const rows = points.map((night) => make("tr", {}, make("th", { scope: "row" }, night.label), make("td", {}, percent(night.satisfaction))));
  const table = make("table.hidden", {}, make("caption", {}, word("satisfaction")), make("tbody", {}, ...rows));
  return make("section", {}, make("h3", {}, word("satisfaction")), chart(points), table);
}

function chart(points) {
  const x = (i) => LEFT + (points.length === 1 ? 0.5 : i / (points.length - 1)) * (WIDTH - LEFT - RIGHT - 16) + 8;
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" });
  for (const share of [0, 0.5, 1]) {
    drawing.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "grid" }));
    drawing.append(svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  }
  const line = points.map((night, i) => `${x(i)},${y(night.satisfaction)}`).join(" ");
  drawing.append(svg("polyline", { points: line, class: "line" }));
  const every = Math.ceil(points.length / 5);
  points.forEach((night, i) => {
    drawing.append(svg("circle", { cx: x(i), cy: y(night.satisfaction), r: 4, class: "point" },
      svg("title", {}, `${night.label}: ${percent(night.satisfaction)}${night.version ? ` · ${night.version}` : ""}`)));
    if (i === points.length - 1) {
      drawing.append(svg("text", { x: x(i), y: y(night.satisfaction) - 9, "text-anchor": "middle", class: "value" }, percent(night.satisfaction)));
    }
    if (i % every === 0) drawing.append(svg("text", { x: x(i), y: HEIGHT - 6, "text-anchor": "middle" }, night.short ?? String(i + 1)));
  });
  return drawing;
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
