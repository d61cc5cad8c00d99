/** One small chart for each quantity of the training. */
function curvesOf(curves) {
  return figure("curves", "Training", null, element("div", { class: "charts" }, ...curves.map(chartOf)));
}

const CHART = { width: 320, height: 170, left: 46, right: 12, top: 10, bottom: 26 };

function chartOf({ name, epochs, values }) {
  const known = values.map((value, index) => index).filter((index) => values[index] !== null);
  const last = known.at(-1);
  const across = scaleOf(epochs, CHART.left, CHART.width - CHART.right);
  const up = scaleOf(
    known.map((index) => values[index]),
    CHART.height - CHART.bottom,
    CHART.top,
  );
  const line = known
    .map(
      (index) =>
        `${values[index - 1] === null || index === known[0] ? "M" : "L"}${across.place(epochs[index])} ${up.place(values[index])}`,
    )
    .join("");
  const dot = drawing("circle", { class: "dot", r: 4, visibility: "hidden" });
  const readout = element("span", { class: "readout", role: "status" });
  let chosen = last;

  function choose(index) {
    chosen = index;
    if (index === undefined) return;
    readout.textContent = `${figureOf(values[index])} at epoch ${epochs[index]}`;
    furnish(dot, { cx: across.place(epochs[index]), cy: up.place(values[index]), visibility: "visible" }, []);
  }

  function point(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * CHART.width;
    const distance = (index) => Math.abs(across.place(epochs[index]) - x);
    choose(known.reduce((best, index) => (distance(index) < distance(best) ? index : best), last));
  }

  function step(event) {
    const direction = ARROWS[event.key];
    if (!direction || !direction[0] || chosen === undefined) return;
    event.preventDefault();
    choose(known[Math.max(0, Math.min(known.length - 1, known.indexOf(chosen) + direction[0]))]);
  }

  const listeners = { pointermove: point, pointerdown: point, pointerleave: () => choose(last), keydown: step };
  const look = {
    viewBox: `0 0 ${CHART.width} ${CHART.height}`,
    tabindex: 0,
    role: "application",
    "aria-label": `${name} by epoch; arrow keys go through the epochs`,
  };
  const chart = drawing(
    "svg",
    { ...look, ...listeners },
    ...gridOf(up),
    ...epochsOf(across),
    drawing("path", { class: "line", d: line }),
    dot,
  );
  choose(last);
  return element("figure", { class: "chart" }, element("figcaption", {}, element("strong", {}, name), readout), chart);
}

/** A linear scale from data to pixels between round ends, and the round numbers along it. */
function scaleOf(values, start, end) {
  const [least, most] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const span = most - least || Math.abs(most) || 1;
  const magnitude = 10 ** Math.floor(Math.log10(span / 3));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((step) => span / step <= 4);
  const first = Math.floor(least / step);
  const last = Math.max(first + 1, Math.ceil(most / step));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
  return { ticks, place: (value) => start + ((value / step - first) / (last - first)) * (end - start) };
}

function gridOf(scale) {
  return scale.ticks.flatMap((tick) => {
    const y = scale.place(tick);
    const line = drawing("line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: y, y2: y });
    return [line, drawing("text", { x: CHART.left - 8, y, class: "row-name" }, figureOf(tick))];
  });
}

function epochsOf(scale) {
  const whole = scale.ticks.filter(Number.isInteger);
  return whole.map((tick) =>
    drawing("text", { x: scale.place(tick), y: CHART.height - 6, class: "epoch" }, String(tick)),
  );
}

function figureOf(value) {
  const short = Number(value.toPrecision(3));
  return short !== 0 && (Math.abs(short) >= 1e5 || Math.abs(short) < 1e-3) ? short.toExponential() : String(short);
}
