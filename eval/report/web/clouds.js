/** Clouds colored by part, truth beside prediction; both turn together. */
function cloudsOf(segmented) {
  const clouds = segmented.map((cloud) => new PartCloud(cloud));
  const mark = element("input", {
    type: "checkbox",
    change: () => clouds.forEach((cloud) => cloud.mark(mark.checked)),
  });
  const note = "Drag a cloud to turn it, or use the arrow keys.";
  const choice = element("label", { class: "mark" }, mark, "show only the wrong points in color");
  return figure(
    "clouds",
    "Part segmentation",
    note,
    choice,
    element("div", { class: "shelf" }, ...clouds.map((cloud) => cloud.picture)),
  );
}

class PartCloud {
  constructor({ category, points, truth, predicted, parts }) {
    const right = truth.filter((part, index) => part === predicted[index]).length;
    const color = new Map(parts.map((part, index) => [part, report.colors[index]]));
    Object.assign(this, { truth, predicted, color, points: centered(points), yaw: 0.7, pitch: 0.35, marked: false });
    this.canvases = ["truth", "prediction"].map((name) =>
      element("canvas", { "aria-label": `${category}, ${name}`, role: "img" }),
    );
    const used = parts.filter((part) => truth.includes(part) || predicted.includes(part));
    const legend = used.map((part) => element("li", {}, this.dot(part), `part ${part}`));
    const panels = this.canvases.map((canvas, index) =>
      element("div", {}, canvas, element("p", {}, ["truth", "prediction"][index])),
    );
    this.picture = element(
      "figure",
      {
        tabindex: 0,
        "aria-label": `${category} in parts; arrow keys turn it`,
        pointerdown: (event) => this.picture.setPointerCapture(event.pointerId),
        pointermove: (event) =>
          this.picture.hasPointerCapture(event.pointerId) && this.turn(event.movementX / 90, event.movementY / 90),
        keydown: (event) => this.step(event),
      },
      element(
        "figcaption",
        {},
        element("strong", {}, category),
        ` ${percent(right / truth.length)} of the points right`,
      ),
      element("div", { class: "pair" }, ...panels),
      element("ul", { class: "parts" }, ...legend),
    );
    new ResizeObserver(() => this.draw()).observe(this.canvases[0]);
  }

  dot(part) {
    const dot = element("span", { class: "dot" });
    dot.style.background = this.color.get(part);
    return dot;
  }

  mark(on) {
    this.marked = on;
    this.draw();
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + pitch));
    this.draw();
  }

  step(event) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    this.turn(0.15 * direction[0], 0.15 * direction[1]);
  }

  draw() {
    const [cosYaw, sinYaw, cosPitch, sinPitch] = [
      Math.cos(this.yaw),
      Math.sin(this.yaw),
      Math.cos(this.pitch),
      Math.sin(this.pitch),
    ];
    const seen = this.points.map(([x, y, z], index) => {
      const [right, towards] = [cosYaw * x + sinYaw * z, cosYaw * z - sinYaw * x];
      return { index, right, up: cosPitch * y - sinPitch * towards, near: sinPitch * y + cosPitch * towards };
    });
    seen.sort((a, b) => a.near - b.near);
    this.paint(this.canvases[0], this.truth, seen);
    this.paint(this.canvases[1], this.predicted, seen);
  }

  paint(canvas, parts, seen) {
    const side = canvas.clientWidth;
    const density = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * density);
    const pen = canvas.getContext("2d");
    pen.setTransform(density * 0.48 * side, 0, 0, density * 0.48 * side, (density * side) / 2, (density * side) / 2);
    const radius = Math.max(0.012, 0.6 / Math.sqrt(seen.length));
    for (const { index, right, up, near } of seen) {
      const quiet = this.marked && this.truth[index] === this.predicted[index];
      pen.globalAlpha = quiet ? 0.25 : 0.72 + 0.28 * near; // what is far is paler
      pen.fillStyle = quiet ? "#8a9099" : this.color.get(parts[index]);
      pen.beginPath();
      pen.arc(right, -up, radius, 0, 7);
      pen.fill();
    }
  }
}

/** Points about the middle of their box, in the unit sphere. */
function centered(points) {
  const middle = [0, 1, 2].map((axis) => {
    const values = points.map((point) => point[axis]);
    return (Math.min(...values) + Math.max(...values)) / 2;
  });
  const moved = points.map((point) => point.map((value, axis) => value - middle[axis]));
  const reach = Math.max(...moved.map((point) => Math.hypot(...point))) || 1;
  return moved.map((point) => point.map((value) => value / reach));
}
