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

function dotOf(colour) {
  const dot = element("span", { class: "dot" });
  dot.style.background = colour;
  return dot;
}

/** What the colours mean; names can be switched off. */
function legendOf(colouring, redraw) {
  if (colouring.kind === "named") return namesOf(colouring, redraw);
  if (colouring.kind === "taken") return [element("p", {}, "Grey: no image sees the point.")];
  const bar = element("div", { class: "ramp" });
  const stops = Array.from({ length: 17 }, (_, i) => RAMP[Math.round((i * 255) / 16)]);
  const colours = stops.map((pixel) => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`);
  bar.style.background = `linear-gradient(to right, ${colours.join()})`;
  const ends = colouring.limits.map((limit) => element("span", {}, limit.toFixed(2)));
  return [bar, element("div", { class: "ends" }, ...ends)];
}

function namesOf(colouring, redraw) {
  const counts = colouring.counts();
  const present = [...counts.keys()].filter((place) => counts[place] > 0);
  return present.map((place) => {
    const box = element("input", {
      type: "checkbox",
      value: place,
      checked: !colouring.hidden.has(place),
      change: () => {
        colouring.hide(place, !box.checked);
        redraw();
      },
    });
    const count = element("span", {}, counts[place].toLocaleString("en"));
    return element("label", {}, box, dotOf(colouring.colours[place]), element("span", {}, colouring.names[place]), count);
  });
}
