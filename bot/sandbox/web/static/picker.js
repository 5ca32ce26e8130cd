// The reaction picker: Telegram's emoji in a grid that keys and screen readers can walk.

import { byId, make, walk } from "./dom.js";

const COLUMNS = 8;

let opener = null;

// Opens beside the button; `onPick` gets the emoji. `mine` is the viewer's present choice.
export function openPicker(button, emojis, mine, onPick) {
  const picker = byId("picker");
  const choose = (emoji) => {
    closePicker();
    onPick(emoji);
  };
  const buttons = emojis.map((emoji) => {
    const pressed = String(mine.includes(emoji));
    return make("button", { type: "button", tabIndex: -1, ariaPressed: pressed, onclick: () => choose(emoji) }, emoji);
  });
  picker.replaceChildren(make("div.picker-grid", {}, ...buttons));
  picker.hidden = false;
  place(picker, button.getBoundingClientRect());
  opener = button;
  const first = buttons.find((each) => each.ariaPressed === "true") ?? buttons[0];
  first.tabIndex = 0;
  first.focus();
  picker.onkeydown = (event) => {
    if (event.key === "Escape") closePicker();
    else if (event.key === "Tab") {
      event.preventDefault();
      closePicker();
    } else walk(event, buttons, COLUMNS);
  };
}

export function closePicker() {
  const picker = byId("picker");
  if (picker.hidden) return;
  picker.hidden = true;
  if (picker.contains(document.activeElement) || document.activeElement === document.body) opener?.focus();
}

function place(picker, anchor) {
  const { offsetWidth: width, offsetHeight: height } = picker;
  const left = Math.min(Math.max(8, anchor.left - width / 2), innerWidth - width - 8);
  const above = anchor.top - height - 6;
  const top = above > 8 ? above : Math.min(anchor.bottom + 6, innerHeight - height - 8);
  picker.style.left = `${left}px`;
  picker.style.top = `${Math.max(8, top)}px`;
}

document.addEventListener("pointerdown", (event) => {
  if (!byId("picker").contains(event.target)) closePicker();
});
