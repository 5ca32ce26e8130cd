// Making elements. Text is only ever set as text, never as HTML.

export function byId(id) {
  return document.getElementById(id);
}

// make("button.pill", {type: "button", onclick: f}, "text", child) -> element
export function make(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A round face with the first letter of a name, in a colour that belongs to the id.
export function dress(face, id, name) {
  face.textContent = [...name][0]?.toUpperCase() ?? "?";
  face.dataset.hue = (Math.imul(Math.abs(id) % 1_000_003, 2_654_435_761) >>> 22) % 7;
}

export function isSafeLink(address) {
  try {
    return ["http:", "https:", "tg:", "mailto:"].includes(new URL(address).protocol);
  } catch {
    return false;
  }
}

// Moves the focus among elements with the arrow keys.
export function walk(event, elements, columns = 1) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  const at = elements.indexOf(document.activeElement);
  if (!(event.key in steps) || at < 0) return false;
  const next = elements[Math.min(Math.max(at + steps[event.key], 0), elements.length - 1)];
  next.focus();
  event.preventDefault();
  return true;
}
