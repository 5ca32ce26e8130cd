// Writing: the text field, the reply bar and the command menu that opens with "/".

import { byId, make } from "./dom.js";
import { senderName, snippet } from "./messages.js";

let onSend = () => {};
let commandsNow = () => [];
let replyTo = null;
let chosen = 0;

const text = byId("text");
const menu = byId("menu");

// `send` gets the text and the id of the message replied to or null; `commands` gives the menu of the open chat.
export function startComposer(send, commands) {
  onSend = send;
  commandsNow = commands;
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  text.addEventListener("input", refresh);
  text.addEventListener("keydown", onKey);
  // A little later, for a press on the menu takes the focus first; and only if the field has not got it back meanwhile.
  text.addEventListener("blur", () => setTimeout(() => document.activeElement === text || hideMenu(), 150));
  byId("replying-end").addEventListener("click", () => reply(null));
  byId("slash").addEventListener("click", toggleMenu);
}

export function reply(message) {
  replyTo = message?.id ?? null;
  byId("replying").hidden = !message;
  if (!message) return;
  byId("replying-name").textContent = senderName(message);
  byId("replying-text").textContent = snippet(message);
  text.focus();
}

export function clearComposer() {
  text.value = "";
  reply(null);
  refresh();
}

function submit() {
  if (!text.value.trim()) return;
  onSend(text.value, replyTo);
  clearComposer();
}

function refresh() {
  byId("send").disabled = !text.value.trim();
  text.style.height = "";
  if (text.value) text.style.height = `${Math.min(text.scrollHeight + 3, 160)}px`;
  const typed = /^\/(\w*)$/.exec(text.value);
  if (typed) showMenu(typed[1].toLowerCase());
  else hideMenu();
}

function onKey(event) {
  if (event.isComposing) return;
  if (!menu.hidden && onMenuKey(event)) return;
  if (event.key === "Escape") reply(null);
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit();
  }
}

function onMenuKey(event) {
  const items = [...menu.children];
  if (event.key === "ArrowDown") choose((chosen + 1) % items.length);
  else if (event.key === "ArrowUp") choose((chosen + items.length - 1) % items.length);
  else if (event.key === "Escape") hideMenu();
  else if (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey)) {
    // A command typed in full is sent by Enter, as people expect.
    if (event.key === "Enter" && text.value === `/${items[chosen].dataset.name}`) return false;
    items[chosen].click();
  } else return false;
  event.preventDefault();
  return true;
}

function showMenu(beginning) {
  const found = commandsNow().filter((command) => command.name.startsWith(beginning));
  if (!found.length) {
    hideMenu();
    return;
  }
  menu.replaceChildren(...found.map((command, index) => item(command, index)));
  menu.hidden = false;
  choose(0);
}

function item(command, index) {
  const element = make("li", { id: `command-${index}`, role: "option" },
    make("strong", {}, `/${command.name}`), make("span", {}, command.description));
  element.dataset.name = command.name;
  element.onpointerdown = (event) => event.preventDefault();
  element.onclick = () => {
    text.value = `/${command.name} `;
    refresh();
    text.focus();
  };
  return element;
}

function choose(index) {
  chosen = index;
  for (const [i, element] of [...menu.children].entries()) {
    element.setAttribute("aria-selected", String(i === index));
    if (i === index) element.scrollIntoView({ block: "nearest" });
  }
  text.setAttribute("aria-activedescendant", `command-${index}`);
}

function hideMenu() {
  menu.hidden = true;
  text.removeAttribute("aria-activedescendant");
}

function toggleMenu() {
  if (menu.hidden) {
    text.value = "/";
    refresh();
  } else hideMenu();
  text.focus();
}
