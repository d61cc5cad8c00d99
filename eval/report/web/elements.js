"use strict";

const report = JSON.parse(document.getElementById("data").textContent);

/** An HTML element; children that are strings become text, never markup. */
function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** An SVG element. */
function drawing(name, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Functions become listeners, true an empty attribute; what is null or false is left out. */
function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A headed part of a method's panel. */
function figure(name, title, note, ...body) {
  const heading = element("h3", {}, title);
  return element(
    "section",
    { class: `figure ${name}` },
    heading,
    note ? element("p", { class: "note" }, note) : null,
    ...body,
  );
}

function picture(number, description) {
  return element("img", { src: report.pictures[number], alt: description, decoding: "async" });
}

function percent(fraction, digits = 0) {
  return `${(100 * fraction).toFixed(digits)}\u00a0%`;
}

const MARKERS = [
  "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0Z",
  "M-.88-.88H.88V.88H-.88Z",
  "M0-1.2 1.1.8H-1.1Z",
  "M0-1.25 1.25 0 0 1.25-1.25 0Z",
  "M0 1.2 1.1-.8H-1.1Z",
];

/** The mark of a class: a color of its own and one of five shapes, hollow where the prediction is wrong. */
function marker(label, wrong = false, attributes = {}) {
  const look = {
    class: wrong ? "point missed" : "point",
    d: MARKERS[label % MARKERS.length],
    color: report.colors[label],
  };
  return drawing("path", { ...look, ...attributes });
}

function swatch(label) {
  return drawing("svg", { class: "swatch", viewBox: "-1.5 -1.5 3 3", "aria-hidden": "true" }, marker(label));
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
