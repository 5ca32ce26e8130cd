// One message on the screen: made once, then only the parts that change are redrawn, so that nothing flickers.

import { dress, make, svg } from "./dom.js";
import { rich } from "./richtext.js";
import { currentLanguage, label, word } from "./words.js";

const SMILE = ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M8.5 14.5a4.5 4.5 0 0 0 7 0", "M9 9.5v.01", "M15 9.5v.01"];
const ARROW = ["M10 7 4.5 12.5 10 18", "M5 12.5h8a6.5 6.5 0 0 1 6.5 6.5"];

// `acts` are what a person can do: reply, pick, toggle, press, command, jump; `me` is the viewer, `find` finds a message.
export function createMessage(message, me, acts, find) {
  if (message.service) return serviceLine(message);
  const parts = {
    name: make("div.name"),
    quote: make("div.slot"),
    file: make("div.slot"),
    text: make("div.text", { dir: "auto" }),
    meta: make("span.meta"),
    reactions: make("div.reactions"),
    keyboard: make("div.keyboard"),
  };
  const isMine = message.sender?.id === me.id;
  const face = make("span.face", { ariaHidden: "true" });
  const name = senderName(message);
  dress(face, message.sender?.id ?? message.chat, name);
  parts.name.textContent = name;
  parts.name.dataset.hue = face.dataset.hue;
  const body = make("div.bubble", {}, parts.name, parts.quote, parts.file, parts.text, parts.reactions, parts.meta);
  const row = make("div.row", {}, body, tools(message, acts));
  const element = make("article.message", { tabIndex: -1 }, face, make("div.stack", {}, row, parts.keyboard));
  element.classList.add(isMine ? "out" : "in");
  element.dataset.id = message.id;
  element.dataset.sender = message.sender?.id ?? 0;
  element.parts = parts;
  element.shown = {};
  updateMessage(element, message, me, acts, find);
  return element;
}

export function updateMessage(element, message, me, acts, find) {
  if (!element.parts) return;
  const { parts, shown } = element;
  const draw = (name, state, redraw) => {
    const key = JSON.stringify(state);
    if (shown[name] === key) return;
    shown[name] = key;
    redraw(parts[name]);
  };
  const quoted = message.replyTo ? (find(message.replyTo) ?? null) : undefined;
  draw("quote", [message.replyTo, quoted && [senderName(quoted), snippet(quoted)], currentLanguage()], (part) =>
    part.replaceChildren(...(message.replyTo ? [quote(message, quoted, acts)] : [])));
  draw("file", message.file, (part) => part.replaceChildren(...(message.file ? [attachment(message)] : [])));
  draw("text", [message.text, message.entities], (part) =>
    part.replaceChildren(rich(message.text, message.entities, acts.command)));
  // A bot's texts are nearly always edited, because that is how they stream: saying so would tell nothing.
  const isCorrected = message.edited && !message.sender?.isBot;
  draw("meta", [message.date, isCorrected, currentLanguage()], (part) =>
    part.replaceChildren(isCorrected ? `${word("edited")} ` : "", clock(message.date)));
  draw("reactions", message.reactions, (part) => redrawButtons(part, message.reactions.map((each) => chip(message, each, acts))));
  draw("keyboard", message.keyboard, (part) => redrawButtons(part, message.keyboard.map((row) => keyboardRow(message, row, acts))));
  label(element, `${senderName(message)}: ${snippet(message)}`);
  element.classList.toggle("bot", Boolean(message.sender?.isBot));
  makeReachable(element);
}

// Only the buttons of the current message are on the way of the Tab key; there may be hundreds of messages.
export function makeReachable(element) {
  const isCurrent = element.classList.contains("current");
  for (const button of element.querySelectorAll("button, a, .spoiler")) button.tabIndex = isCurrent ? 0 : -1;
}

export function senderName(message) {
  return message.sender?.name ?? message.title ?? "";
}

export function snippet(message) {
  const kinds = { photo: word("photo"), document: word("document") };
  const file = message.file ? `${kinds[message.file.kind]} ` : "";
  return (file + message.text).replace(/\s+/g, " ").slice(0, 160);
}

// Replaces buttons and keeps the focus on the one in the same place.
function redrawButtons(part, children) {
  const focused = [...part.querySelectorAll("button, a")].indexOf(document.activeElement);
  part.replaceChildren(...children);
  if (focused >= 0) part.querySelectorAll("button, a")[focused]?.focus();
}

function tools(message, acts) {
  const react = make("button.icon", { type: "button", onclick: () => acts.pick(message.id, react) }, icon(SMILE));
  const reply = make("button.icon", { type: "button", onclick: () => acts.reply(message.id) }, icon(ARROW));
  react.ariaHasPopup = "dialog";
  label(react, word("react"));
  label(reply, word("reply"));
  return make("div.tools", {}, react, reply);
}

function icon(paths) {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, ...paths.map((d) => svg("path", { d })));
}

function quote(message, quoted, acts) {
  const button = make("button.quote", { type: "button", onclick: () => acts.jump(message.replyTo) });
  if (quoted) button.append(make("strong", {}, senderName(quoted)), make("span", { dir: "auto" }, snippet(quoted)));
  else button.append(make("span", {}, word("deleted")));
  return button;
}

function attachment(message) {
  const { file } = message;
  if (file.kind === "photo") {
    const picture = make("img.photo", { src: file.url, alt: message.text || word("photo") });
    picture.width = file.width;
    picture.height = file.height;
    return make("a.photo-link", { href: file.url, target: "_blank", rel: "noopener" }, picture);
  }
  const size = file.size < 1024 ? `${file.size} B` : `${Math.round(file.size / 1024)} kB`;
  return make("a.file", { href: file.url, rel: "noopener" }, make("span.file-icon", {}, "📄"),
    make("span", {}, make("strong", {}, file.name), make("small", {}, size)));
}

function chip(message, reaction, acts) {
  const button = make("button.chip", { type: "button", ariaPressed: String(reaction.mine) },
    make("span.emoji", {}, reaction.emoji), make("span", {}, String(reaction.count)));
  button.onclick = () => acts.toggle(message.id, reaction.emoji);
  button.setAttribute("aria-label", word("reactionLabel", reaction.emoji, reaction.count));
  return button;
}

function keyboardRow(message, row, acts) {
  return make("div.keys", {}, ...row.map((button) => key(message, button, acts)));
}

function key(message, button, acts) {
  const element = make("button.key", { type: "button" }, button.text);
  element.onclick = () => acts.press(message.id, button, element);
  return element;
}

function serviceLine(message) {
  const element = make("p.service", { tabIndex: -1 }, make("span", {}, serviceWords(message.service)));
  element.dataset.id = message.id;
  return element;
}

export function serviceWords({ kind, name }) {
  return kind === "new_chat_members" ? word("joined", name) : word("movedOn");
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(currentLanguage(), { hour: "2-digit", minute: "2-digit" });
}

export function dayName(seconds) {
  const day = new Date(seconds * 1000);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(day).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return word("today");
  if (days === 1) return word("yesterday");
  return day.toLocaleDateString(currentLanguage(), { day: "numeric", month: "long" });
}
