// The list of chats with the last message and what is unread.

import { byId, dress, make } from "./dom.js";
import { clock, senderName, serviceWords, snippet } from "./messages.js";
import { word } from "./words.js";

// The most recently used first; chats that nobody has written in yet come last, private ones before groups.
export function inOrder(chats) {
  const lastWritten = (chat) => [...chat.messages.values()].findLast((message) => !message.service)?.date ?? 0;
  return chats.sort((a, b) => lastWritten(b) - lastWritten(a) || (b.kind === "private") - (a.kind === "private"));
}

export function drawChats(chats, openId, onOpen) {
  const list = byId("chats");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  list.replaceChildren(...chats.map((chat) => make("li", {}, entry(chat, chat.id === openId, onOpen))));
  if (focused) list.querySelector(`[data-id="${focused}"]`)?.focus();
  const unread = chats.reduce((sum, chat) => sum + chat.unread, 0);
  document.title = unread ? `(${unread}) Ovation` : "Ovation";
}

function entry(chat, isOpen, onOpen) {
  const face = make("span.face", { ariaHidden: "true" });
  dress(face, chat.faceId, chat.title);
  const last = [...chat.messages.values()].at(-1);
  const line = make("span.last", {}, ...lastLine(chat, last));
  const button = make("button.entry", { type: "button", onclick: () => onOpen(chat.id) }, face,
    make("span.entry-text", {},
      make("span.entry-top", {}, make("strong", {}, chat.title), make("time", {}, last ? clock(last.date) : "")),
      make("span.entry-top", {}, line, badge(chat))));
  button.dataset.id = chat.id;
  if (isOpen) button.ariaCurrent = "true";
  return button;
}

// Name and words are apart, so that each is cut at its own end, whichever way it is written.
function lastLine(chat, message) {
  if (!message) return [make("span", {}, chat.description || word("start"))];
  if (message.service) return [make("span", {}, serviceWords(message.service))];
  const words = make("span", { dir: "auto" }, snippet(message));
  return chat.kind === "private" ? [words] : [make("span", {}, `${senderName(message)}:`), words];
}

function badge(chat) {
  if (!chat.unread) return null;
  return make("span.badge", {}, make("span", { ariaHidden: "true" }, String(chat.unread)),
    make("span.hidden", {}, word("unread", chat.unread)));
}
