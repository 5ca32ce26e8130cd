// The line to the sandbox: verbs by POST, events by WebSocket, and the person's key in this tab's session.

const SESSION = "ovation-sandbox";
const RETRY_MILLISECONDS = 1000;

let session = load();

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(SESSION)) ?? null;
  } catch {
    return null;
  }
}

export function remembered() {
  return session;
}

export function forget() {
  session = null;
  sessionStorage.removeItem(SESSION);
}

export async function about() {
  return (await fetch("/api/about")).json();
}

// Enter, or enter again after a reload or a restart of the sandbox.
export async function enter({ name, language, admin }) {
  const answer = await post("people", { name, language, admin, key: session?.key });
  session = { name, language, admin, key: answer.key };
  sessionStorage.setItem(SESSION, JSON.stringify(session));
  return answer.person;
}

export async function post(verb, body) {
  const headers = { "Content-Type": "application/json" };
  if (session) headers.Authorization = `Bearer ${session.key}`;
  const response = await fetch(`/api/${verb}`, { method: "POST", headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// Calls onEvent for every event and onState(true or false) as the line opens and breaks; connects again by itself.
export function listen(onEvent, onState) {
  const address = new URL(`/api/live?key=${encodeURIComponent(session.key)}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onmessage = (message) => onEvent(JSON.parse(message.data));
  socket.onopen = () => onState(true);
  socket.onclose = () => {
    onState(false);
    setTimeout(() => reopen(onEvent, onState), RETRY_MILLISECONDS);
  };
}

async function reopen(onEvent, onState) {
  try {
    await enter(session);
  } catch {
    setTimeout(() => reopen(onEvent, onState), RETRY_MILLISECONDS);
    return;
  }
  listen(onEvent, onState);
}
