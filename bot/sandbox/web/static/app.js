// The web chat of the sandbox. One tab is one person; the page only shows and sends, the sandbox decides.

import { drawChats, inOrder } from "./chats.js";
import { clearComposer, reply, startComposer } from "./composer.js";
import { byId, dress } from "./dom.js";
import * as link from "./link.js";
import { addMessage, changeMessage, jumpTo, openLog, removeMessage, startLog } from "./log.js";
import { redrawPanel, showPanel, startPanel } from "./panel.js";
import { closePicker, openPicker } from "./picker.js";
import { currentLanguage, label, languages, speak, word } from "./words.js";

const TOAST_MILLISECONDS = 3500;
const narrow = matchMedia("(max-width: 720px)");

const chats = new Map();
let me = null;
let bot = null;
let reactions = [];
let openId = null;
let hasStarted = false;
let toastTimer = 0;

const acts = {
  command: (words) => say(words),
  jump: (id) => jumpTo(id) || toast(word("gone")),
  reply: (id) => reply(open().messages.get(id)),
  pick: (id, button) => openPicker(button, reactions, mine(id), (emoji) => acts.toggle(id, emoji)),
  toggle: (id, emoji) => attempt("react", { chat: openId, message: id, emojis: mine(id).includes(emoji) ? [] : [emoji] }),
  press,
};

function open() {
  return chats.get(openId);
}

function mine(id) {
  return open().messages.get(id).reactions.filter((each) => each.mine).map((each) => each.emoji);
}

async function attempt(verb, body) {
  try {
    return await link.post(verb, body);
  } catch (error) {
    toast(error instanceof TypeError ? word("failed") : error.message);
    return null;
  }
}

function say(text, replyTo = null) {
  return attempt("say", { chat: openId, text, replyTo });
}

async function press(id, button, element) {
  element.ariaBusy = "true";
  const answer = await attempt("press", { chat: openId, message: id, data: button.data });
  element.ariaBusy = "false";
  if (!answer) return;
  if (!answer.answered) toast(word("noAnswer"));
  else if (answer.alert && answer.text) alertWith(answer.text);
  else if (answer.text) toast(answer.text);
}

function toast(words) {
  byId("toast").textContent = words;
  byId("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => byId("toast").classList.remove("shown"), TOAST_MILLISECONDS);
}

function alertWith(words) {
  byId("alert-text").textContent = words;
  byId("alert").showModal();
}

// What the sandbox tells

const onEvent = {
  snapshot(event) {
    me = event.me;
    bot = event.bot;
    reactions = event.reactions;
    const before = new Map(chats);
    chats.clear();
    for (const chat of event.chats) keepChat(chat, before.get(chat.id));
    const isThroughDoor = !byId("door").hidden;
    if (!hasStarted) startOnce();
    showPanel(event.panel);
    drawMe();
    if (!chats.has(openId)) openId = null;
    if (openId === null && !narrow.matches) openId = inOrder([...chats.values()])[0]?.id ?? null;
    redraw();
    if (isThroughDoor) settle();
  },
  message(event) {
    const chat = chats.get(event.chat);
    if (!chat || chat.messages.has(event.message.id)) return;
    chat.messages.set(event.message.id, event.message);
    const isRead = event.chat === openId && !document.hidden && isChatShown();
    if (!isRead && event.message.sender?.id !== me.id && !event.message.service) chat.unread += 1;
    if (event.chat === openId) addMessage(event.message);
    drawList();
  },
  edited: changed,
  reactions: changed,
  deleted(event) {
    chats.get(event.chat)?.messages.delete(event.message.id);
    if (event.chat === openId) removeMessage(event.message.id);
    drawList();
  },
  chat(event) {
    const known = chats.get(event.chat.id);
    if (known) Object.assign(known, event.chat, { messages: known.messages });
    else keepChat(event.chat);
    drawHead();
    drawList();
  },
  commands(event) {
    for (const [id, menu] of Object.entries(event.menus)) {
      if (chats.has(Number(id))) chats.get(Number(id)).commands = menu;
    }
  },
  panel: (event) => showPanel(event.panel),
};

function changed(event) {
  const chat = chats.get(event.chat);
  if (!chat?.messages.has(event.message.id)) return;
  chat.messages.set(event.message.id, event.message);
  if (event.chat === openId) changeMessage(event.message);
  if ([...chat.messages.keys()].at(-1) === event.message.id) drawList();
}

function keepChat(chat, before) {
  const messages = new Map(chat.messages.map((message) => [message.id, message]));
  const faceId = chat.kind === "private" ? bot.id : chat.id;
  chats.set(chat.id, { ...chat, faceId, messages, unread: before?.unread ?? 0 });
}

// What the person sees

function startOnce() {
  hasStarted = true;
  byId("door").hidden = true;
  byId("app").hidden = false;
  startLog(me, acts);
  startPanel();
  startComposer(say, () => open()?.commands ?? []);
  byId("back").onclick = () => showChat(null);
  byId("language").onclick = switchLanguage;
  document.addEventListener("visibilitychange", () => markRead());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && narrow.matches && openId !== null && [document.body, byId("log")].includes(event.target)) showChat(null);
  });
  narrow.addEventListener("change", redraw);
}

function redraw() {
  const chat = open();
  document.body.classList.toggle("in-chat", Boolean(chat));
  byId("composer").hidden = !chat;
  if (chat) openLog(chat, me);
  markRead();
  drawHead();
}

function showChat(id) {
  if (id !== openId) clearComposer();
  closePicker();
  openId = id;
  redraw();
  settle();
}

// Where the focus is when a chat has been opened or left; on a touch screen the text field would bring the keyboard up.
function settle() {
  if (openId === null) byId("chats").querySelector("button")?.focus();
  else byId(matchMedia("(pointer: coarse)").matches ? "log" : "text").focus();
}

function isChatShown() {
  return openId !== null;
}

function markRead() {
  if (open() && !document.hidden) open().unread = 0;
  drawList();
}

function drawList() {
  drawChats(inOrder([...chats.values()]), openId, showChat);
}

function drawHead() {
  const chat = open();
  if (!chat) return;
  dress(byId("chat-face"), chat.faceId, chat.title);
  byId("chat-title").textContent = chat.title;
  byId("chat-state").textContent = chat.kind === "private" ? word("bot") : word("members", chat.members);
}

function drawMe() {
  dress(byId("me-face"), me.id, me.name);
  byId("me-name").textContent = me.name;
  byId("me-role").textContent = link.remembered().admin ? word("admin") : "";
  const other = languages.find((code) => code !== currentLanguage());
  byId("language").textContent = other === "zh" ? "中" : "EN";
  label(byId("language"), word("switchLanguage"));
}

async function switchLanguage() {
  const language = languages.find((code) => code !== currentLanguage());
  speak(language);
  me = await link.enter({ ...link.remembered(), language });
  drawMe();
  redraw();
  redrawPanel();
}

// Coming in

async function comeIn(wish) {
  speak(wish.language);
  await link.enter(wish);
  link.listen((event) => onEvent[event.type]?.(event), (isOpen) => { byId("offline").hidden = isOpen; });
}

async function start() {
  const query = new URLSearchParams(location.search);
  const before = link.remembered();
  const language = query.get("lang") ?? before?.language ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  speak(language);
  const admin = query.get("as") === "admin" || (before?.admin ?? false);
  const name = query.get("name") ?? before?.name ?? (admin ? word("adminNamed") : null);
  const isSomebodyElse = before && query.get("name") && query.get("name") !== before.name;
  if (isSomebodyElse) link.forget();
  if (name) {
    await comeIn({ name, language: currentLanguage(), admin });
    return;
  }
  showDoor(await link.about());
}

function showDoor(about) {
  const form = byId("door-form");
  byId("door").hidden = false;
  byId("door-admin").hidden = !about.canBeAdmin;
  form.elements.language.value = currentLanguage();
  for (const radio of form.elements.language) radio.onchange = () => speak(radio.value);
  const go = async (wish) => {
    try {
      await comeIn({ ...wish, language: form.elements.language.value });
    } catch (error) {
      byId("door-error").textContent = error.message;
      byId("door-error").hidden = false;
    }
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    go({ name: form.elements.name.value, admin: false });
  };
  byId("door-admin").onclick = () => go({ name: form.elements.name.value || word("adminNamed"), admin: true });
  form.elements.name.focus();
}

start();
