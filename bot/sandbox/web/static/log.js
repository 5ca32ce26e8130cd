// The messages of the open chat: drawn in order, kept at the end while one reads there, told to screen readers.

import { byId, make, walk } from "./dom.js";
import { createMessage, dayName, makeReachable, updateMessage } from "./messages.js";
import { word } from "./words.js";

const NEAR_END = 90;
const TOGETHER_SECONDS = 300;
const SETTLED_MILLISECONDS = 1200;

const log = byId("log");
const nodes = new Map();
const settling = new Map();

let chat = null;
let me = null;
let acts = {};
let missed = 0;
let isAtEnd = true;

export function startLog(viewer, actions) {
  me = viewer;
  acts = actions;
  log.addEventListener("scroll", onScroll, { passive: true });
  log.addEventListener("keydown", onKey);
  log.addEventListener("focusin", (event) => makeCurrent(event.target.closest("[data-id]")));
  byId("to-end").addEventListener("click", () => toEnd(true));
  new ResizeObserver(() => isAtEnd && toEnd()).observe(log);
}

export function openLog(next, viewer) {
  chat = next;
  me = viewer;
  nodes.clear();
  log.replaceChildren();
  log.classList.toggle("private", chat.kind === "private");
  for (const message of chat.messages.values()) append(message);
  showEmpty();
  missed = 0;
  toEnd();
}

export function addMessage(message) {
  showEmpty(false);
  append(message);
  const isMine = message.sender?.id === me.id;
  if (isAtEnd || isMine) toEnd();
  else missed += 1;
  showMissed();
  if (!isMine) announceSoon(message);
}

export function changeMessage(message) {
  const element = nodes.get(message.id);
  if (!element) return;
  updateMessage(element, message, me, acts, find);
  if (settling.has(message.id)) announceSoon(message);
  if (isAtEnd) toEnd();
}

export function removeMessage(id) {
  nodes.get(id)?.remove();
  nodes.delete(id);
  showEmpty();
}

export function jumpTo(id) {
  const element = nodes.get(id);
  if (!element) return false;
  element.scrollIntoView({ block: "center", behavior: "smooth" });
  element.focus({ preventScroll: true });
  return true;
}

function find(id) {
  return chat.messages.get(id);
}

function append(message) {
  const last = [...nodes.values()].at(-1);
  const before = last && find(Number(last.dataset.id));
  const isNewDay = !before || dayName(before.date) !== dayName(message.date);
  if (isNewDay) log.append(make("p.service.day", {}, make("span", {}, dayName(message.date))));
  const element = createMessage(message, me, acts, find);
  const isTogether = !isNewDay && !before.service && (before.sender?.id ?? 0) === (message.sender?.id ?? 0)
    && message.date - before.date < TOGETHER_SECONDS;
  element.classList.toggle("follows", isTogether);
  if (isTogether) last.classList.add("followed");
  nodes.set(message.id, element);
  log.append(element);
  if (!log.contains(document.activeElement) || document.activeElement === log) makeCurrent(element);
}

function makeCurrent(element) {
  if (!element) return;
  for (const other of [...log.querySelectorAll(".current"), element]) {
    other.classList.toggle("current", other === element);
    makeReachable(other);
  }
}

function showEmpty(isEmpty = chat.messages.size === 0) {
  byId("empty")?.remove();
  if (!isEmpty) return;
  const card = make("div.empty", { id: "empty" });
  if (chat.kind === "private") {
    if (chat.description) card.append(make("p", {}, chat.description));
    card.append(make("button.primary", { type: "button", onclick: () => acts.command("/start") }, word("start")));
  } else card.append(make("p", {}, word("emptyGroup")));
  log.append(card);
}

function toEnd(isSmooth = false) {
  log.scrollTo({ top: log.scrollHeight, behavior: isSmooth ? "smooth" : "instant" });
  isAtEnd = true;
  missed = 0;
  showMissed();
}

function onScroll() {
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
  if (isAtEnd) missed = 0;
  showMissed();
}

function showMissed() {
  byId("to-end").hidden = isAtEnd;
  byId("to-end-count").hidden = !missed;
  byId("to-end-count").textContent = String(missed);
}

// Arrow keys walk from message to message; Tab goes into the buttons of the focused one.
function onKey(event) {
  if (!["ArrowUp", "ArrowDown"].includes(event.key)) return;
  const elements = [...nodes.values()];
  if (event.target === log) {
    elements.at(-1)?.focus();
    event.preventDefault();
  } else if (elements.includes(event.target)) walk(event, elements);
}

// A text that is being written is read out once, when it has stopped changing.
function announceSoon(message) {
  clearTimeout(settling.get(message.id));
  const inChat = chat;
  settling.set(message.id, setTimeout(() => {
    settling.delete(message.id);
    const now = inChat === chat ? find(message.id) : null;
    if (now) byId("announcer").textContent = `${now.sender?.name ?? ""}: ${now.text}`;
  }, SETTLED_MILLISECONDS));
}
