// A text with Telegram's entities as nodes. Offsets are UTF-16 units, as JavaScript counts.

import { isSafeLink, make } from "./dom.js";

const TAGS = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  code: "code",
  pre: "pre",
  blockquote: "blockquote",
};

export function rich(text, entities, onCommand) {
  const fragment = document.createDocumentFragment();
  fill(fragment, text, 0, text.length, entities, onCommand);
  return fragment;
}

function fill(parent, text, start, end, entities, onCommand) {
  let at = start;
  for (let i = 0; i < entities.length; i += 1) {
    const entity = entities[i];
    const stop = Math.min(entity.offset + entity.length, end);
    if (entity.offset < at || stop <= entity.offset) continue;
    parent.append(text.slice(at, entity.offset));
    const inner = entities.slice(i + 1).filter((other) => other.offset < stop);
    parent.append(marked(entity, text, entity.offset, stop, inner, onCommand));
    at = stop;
  }
  parent.append(text.slice(at, end));
}

function marked(entity, text, start, end, inner, onCommand) {
  const element = elementFor(entity, text.slice(start, end), onCommand);
  fill(element, text, start, end, inner, onCommand);
  return element;
}

function elementFor(entity, words, onCommand) {
  if (entity.kind === "url" && isSafeLink(words)) {
    return make("a", { href: words, target: "_blank", rel: "noopener noreferrer" });
  }
  if (entity.kind === "bot_command") return make("button.command", { type: "button", onclick: () => onCommand(words) });
  if (entity.kind === "spoiler") {
    const spoiler = make("span.spoiler", { tabIndex: 0, role: "button" });
    spoiler.onclick = () => spoiler.classList.add("open");
    spoiler.onkeydown = (event) => event.key === "Enter" && spoiler.classList.add("open");
    return spoiler;
  }
  return make(TAGS[entity.kind] ?? "span.mark");
}
