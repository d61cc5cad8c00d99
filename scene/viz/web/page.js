const canvas = document.getElementById("cloud");
const orbit = new Orbit(frame.reach);
const painter = new Painter(canvas, positions());
const colorings = frame.colorings.map((content) => new (content.kind === "similarity" ? Similarity : Coloring)(content));
const lines = frame.lines.map((content) => ({ ...content, shown: true }));
const STILL = 4; // pixels that a click may move
const held = new Map(); // pointers that are down, by their number
const legend = element("fieldset", { class: "key" });
let [coloring, waiting, pressed] = [colorings[0], false, null];

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    painter.paint(orbit, coloring.pixels, lines.filter((one) => one.shown), coloring.chosen);
  });
}

function choose(chosen) {
  coloring = chosen;
  legend.replaceChildren(...legendOf(chosen, redraw));
  redraw();
}

function panel() {
  const choices = colorings.map((one) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name: "coloring", checked: one === coloring, change: () => choose(one) }),
      one.title,
    ),
  );
  const switches = lines.map((one) => {
    const show = (event) => {
      one.shown = event.target.checked;
      redraw();
    };
    const box = element("input", { type: "checkbox", checked: true, change: show });
    const [name, count] = [element("span", {}, one.title), element("span", {}, one.count)];
    return element("label", {}, box, dotOf(one.color), name, count);
  });
  choose(coloring);
  return element(
    "details",
    { open: true },
    element("summary", {}, frame.title),
    element("p", {}, `${frame.count.toLocaleString("en")} points. Drag to turn, wheel to zoom, Shift and drag to move, double-click to go back.`),
    element("fieldset", { class: "colorings" }, element("legend", {}, "Color by"), ...choices),
    legend,
    element("fieldset", { class: "lines" }, ...switches),
  );
}

/** One pointer turns, or moves with Shift or another button; two move and zoom. */
function drag(event) {
  const last = held.get(event.pointerId);
  if (!last) return;
  const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
  const spread = gap();
  held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const height = canvas.clientHeight;
  if (held.size > 1) {
    orbit.shift(dx / held.size / height, dy / held.size / height);
    if (gap() > 0) orbit.zoom(spread / gap());
  } else if (event.shiftKey || event.buttons !== 1) orbit.shift(dx / height, dy / height);
  else orbit.turn((-3 * dx) / height, (3 * dy) / height);
  redraw();
}

/** A press that has not moved chooses the point below it, where points are compared with one. */
function release(event) {
  held.delete(event.pointerId);
  if (pressed === null || event.pointerId !== pressed.id || coloring.kind !== "similarity") return;
  if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > STILL) return;
  const point = painter.pointAt(event.offsetX, event.offsetY);
  if (point === null) return;
  coloring.choose(point);
  choose(coloring);
}

/** Pixels between the first two pointers; 0 where there is one. */
function gap() {
  const [a, b] = held.values();
  return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
}

const KEYS = {
  ArrowLeft: () => orbit.turn(-0.1, 0),
  ArrowRight: () => orbit.turn(0.1, 0),
  ArrowUp: () => orbit.turn(0, 0.1),
  ArrowDown: () => orbit.turn(0, -0.1),
  "+": () => orbit.zoom(0.8),
  "-": () => orbit.zoom(1.25),
  Home: () => orbit.reset(),
};

function act(event, action) {
  event.preventDefault();
  action();
  redraw();
}

const LISTENERS = {
  pointerdown: (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    pressed = held.size === 1 && event.button === 0 ? { id: event.pointerId, x: event.clientX, y: event.clientY } : null;
  },
  pointermove: drag,
  pointerup: release,
  pointercancel: (event) => held.delete(event.pointerId),
  wheel: (event) => act(event, () => orbit.zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.04 : 0.0015)))),
  dblclick: (event) => act(event, () => orbit.reset()),
  contextmenu: (event) => event.preventDefault(),
  keydown: (event) => KEYS[event.key] && !event.ctrlKey && !event.metaKey && act(event, KEYS[event.key]),
};
for (const [name, listener] of Object.entries(LISTENERS)) canvas.addEventListener(name, listener, { passive: false });

canvas.setAttribute("aria-label", `Cloud of ${frame.count} points; arrow keys turn it, plus and minus zoom.`);
document.getElementById("panel").append(panel());
new ResizeObserver(() => {
  painter.fit();
  redraw();
}).observe(canvas);
