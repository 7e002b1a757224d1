"use strict";
// What the other scripts of the page share: elements, embedded data, colours, and who listens to whom.
document.documentElement.classList.add("script");

/** An element with attributes and children; text stays text. An attribute that is null is left out. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = (() => {
  const template = document.createElement("template");
  template.innerHTML = "<svg></svg>";
  return template.content.firstChild.namespaceURI;
})();

/** The same of an element inside an <svg>. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** What the page carries under a name, or null. */
function embedded(name) {
  const found = document.getElementById(`data-${name}`);
  return found ? JSON.parse(found.textContent) : null;
}

/** 256 colours of a map, [r, g, b] each, from their hexadecimal digits. */
function palette(digits) {
  const colours = [];
  for (let at = 0; at < digits.length; at += 6) {
    colours.push([0, 2, 4].map((i) => parseInt(digits.slice(at + i, at + i + 2), 16)));
  }
  return colours;
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

/** What JSON has no number for, and the page carries as text. */
function numberOf(value) {
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
}

/** A number for people: four significant digits. What is no finite number is told as text. */
function short(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").toLowerCase();
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** A select with its label. options: [value, text] pairs. */
function choice(label, options, chosen, changed) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
  select.addEventListener("change", () => changed(select.value));
  return make("label", {}, `${label} `, select);
}

/** Moves the only tab stop of a list of elements to one of them. */
function tabStop(elements, chosen) {
  for (const element of elements) element.tabIndex = element === chosen ? 0 : -1;
}

// "pick": detail is the row that was chosen, in the table or in a plot. "filter": detail are the rows that are left.
const page = new EventTarget();
function tell(what, detail) {
  page.dispatchEvent(new CustomEvent(what, { detail }));
}
