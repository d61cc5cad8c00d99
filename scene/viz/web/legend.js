/** An HTML element; children that are strings become text, never markup, and functions listeners. */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function dotOf(color) {
  const dot = element("span", { class: "dot" });
  dot.style.background = color;
  return dot;
}

/** What the colors mean; names can be switched off. */
function legendOf(coloring, redraw) {
  if (coloring.kind === "categorical") return namesOf(coloring, redraw);
  if (coloring.kind === "rgb") return [element("p", {}, coloring.note)];
  return [...rampOf(coloring), ...(coloring.kind === "similarity" ? chosenOf(coloring) : [])];
}

function rampOf(coloring) {
  const bar = element("div", { class: "ramp" });
  const stops = Array.from({ length: 17 }, (_, i) => RAMP[Math.round((i * 255) / 16)]);
  const colors = stops.map((pixel) => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`);
  bar.style.background = `linear-gradient(to right, ${colors.join()})`;
  const ends = coloring.limits.map((limit) => element("span", {}, limit.toFixed(2)));
  return [bar, element("div", { class: "ends" }, ...ends)];
}

/** Which point all are compared with, how to choose another, and how far off the colors are. */
function chosenOf({ chosen, dimensions, of, error }) {
  const [x, y, z] = [0, 1, 2].map((axis) => painter.points[3 * chosen + axis].toFixed(2));
  const point = `point ${chosen.toLocaleString("en")} at ${x}, ${y}, ${z} m`;
  return [
    element("p", {}, `Cosine similarity to ${point}. Click a point to choose another one.`),
    element("p", {}, `From ${dimensions} of ${of} dimensions: off by ${error.toFixed(3)} on average.`),
  ];
}

function namesOf(coloring, redraw) {
  const counts = coloring.counts();
  const present = [...counts.keys()].filter((place) => counts[place] > 0);
  return present.map((place) => {
    const box = element("input", {
      type: "checkbox",
      value: place,
      checked: !coloring.hidden.has(place),
      change: () => {
        coloring.hide(place, !box.checked);
        redraw();
      },
    });
    const count = element("span", {}, counts[place].toLocaleString("en"));
    return element("label", {}, box, dotOf(coloring.colors[place]), element("span", {}, coloring.names[place]), count);
  });
}
