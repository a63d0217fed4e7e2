// Makes elements. Text only ever becomes text: nothing here, or anywhere on this page, parses markup.

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const button = (text, onclick, kind = "") => el("button", { type: "button", class: kind, onclick }, text);

export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

// Another screen. Whoever worked on the old one by keyboard goes on at the top of the new one.
export function show(screen, ...children) {
  const worked = screen.contains(document.activeElement);
  screen.replaceChildren(...children.filter(Boolean));
  const heading = screen.querySelector("h3");
  if (heading === null) return;
  heading.tabIndex = -1;
  if (worked) heading.focus({ preventScroll: true });
}

export const short = (text) => (text && text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-6)}` : text);

export const xrp = (drops) => `${Number(drops) / 1_000_000} XRP`;
