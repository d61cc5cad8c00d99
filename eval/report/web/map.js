/** What the filter lets through, the same for all methods of the page. */
const filter = { shown: new Set(report.classes.keys()), mistakes: false };

/** The clouds of the test split on a plane, with the filter beside them. */
function mapOf(embedding) {
  const map = new EmbeddingMap(embedding);
  const note =
    "Each mark is one object of the test split; near marks have near features. Hollow marks are misclassified. Point at one, or move with the arrow keys.";
  return figure(
    "map",
    "Map of the features",
    note,
    element("div", { class: "map-columns" }, map.picture, legendOf(embedding, map)),
  );
}

class EmbeddingMap {
  constructor(embedding) {
    this.embedding = embedding;
    this.chosen = null;
    this.places = [];
    const wrong = (index) => embedding.labels[index] !== embedding.predicted[index];
    this.points = embedding.labels.map((label, index) => marker(label, wrong(index), { "data-index": index }));
    this.ring = drawing("circle", { class: "ring", r: 10, visibility: "hidden" });
    this.picture = drawing(
      "svg",
      {
        class: embedding.labels.length > 1200 ? "plane dense" : "plane",
        tabindex: 0,
        role: "application",
        "aria-label": `Map of ${embedding.labels.length} objects; arrow keys go from one to the next`,
        pointermove: (event) => this.point(event),
        pointerdown: (event) => this.point(event),
        pointerleave: (event) => event.pointerType === "mouse" && this.choose(null), // a finger leaves after each tap
        focus: () => this.picture.matches(":focus-visible") && this.choose(this.chosen ?? this.visible()[0] ?? null),
        blur: () => this.choose(null),
        keydown: (event) => this.step(event),
      },
      ...this.points,
      this.ring,
    );
    // Only what is inside the picture changes here, so that the observer is not called again by its own work.
    new ResizeObserver(() => this.layout()).observe(this.picture);
  }

  layout() {
    const { width, height } = this.picture.getBoundingClientRect();
    const { positions } = this.embedding;
    const spans = [0, 1].map((axis) =>
      positions.reduce(([low, high], p) => [Math.min(low, p[axis]), Math.max(high, p[axis])], [Infinity, -Infinity]),
    );
    const [middleX, middleY] = spans.map(([low, high]) => (low + high) / 2);
    const [spanX, spanY] = spans.map(([low, high]) => high - low || 1);
    const scale = Math.min((width - 24) / spanX, (height - 24) / spanY);
    const radius = Math.max(2.4, Math.min(5.5, Math.sqrt((width * height) / positions.length) / 5));
    this.places = positions.map(([x, y]) => [width / 2 + (x - middleX) * scale, height / 2 - (y - middleY) * scale]);
    this.places.forEach(([x, y], index) =>
      this.points[index].setAttribute(
        "transform",
        `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${radius.toFixed(2)})`,
      ),
    );
    this.choose(null);
  }

  visible() {
    return [...this.points.keys()].filter((index) => !this.points[index].classList.contains("hidden"));
  }

  /** The visible point nearest to the pointer, if one is within reach of a finger. */
  point(event) {
    const box = this.picture.getBoundingClientRect();
    const distance = (index) =>
      Math.hypot(this.places[index][0] - event.clientX + box.left, this.places[index][1] - event.clientY + box.top);
    const nearest = this.visible().reduce(
      (best, index) => (best === null || distance(index) < distance(best) ? index : best),
      null,
    );
    this.choose(nearest !== null && distance(nearest) < 24 ? nearest : null);
  }

  step(event) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    if (this.chosen === null) return this.choose(this.visible()[0] ?? null);
    const [x, y] = this.places[this.chosen];
    const effort = (index) => {
      const [dx, dy] = [this.places[index][0] - x, this.places[index][1] - y];
      const [along, across] = [dx * direction[0] + dy * direction[1], Math.abs(dx * direction[1] - dy * direction[0])];
      return along > 0 && across <= along ? along + 2 * across : Infinity;
    };
    const next = this.visible().reduce((best, index) => (effort(index) < effort(best) ? index : best), this.chosen);
    this.choose(next);
  }

  choose(index) {
    this.chosen = index;
    this.ring.setAttribute("visibility", index === null ? "hidden" : "visible");
    if (index === null) return card.hide();
    const [x, y] = this.places[index];
    this.ring.setAttribute("transform", `translate(${x} ${y})`);
    const box = this.picture.getBoundingClientRect();
    const { labels, predicted, pictures } = this.embedding;
    const [label, answer] = [labels[index], predicted[index]];
    const verdict =
      label === answer
        ? element("p", { class: "right" }, "✓ recognized")
        : element("p", { class: "wrong" }, `✗ predicted ${report.classes[answer]}`);
    const name = element("p", { class: "name" }, swatch(label), report.classes[label]);
    card.show(box.left + x, box.top + y, picture(pictures[index], ""), name, verdict);
  }

  /** Hide what the filter holds back; returns how many points are left. */
  apply() {
    const { labels, predicted } = this.embedding;
    this.points.forEach((point, index) => {
      const passes = filter.shown.has(labels[index]) && !(filter.mistakes && labels[index] === predicted[index]);
      point.classList.toggle("hidden", !passes);
    });
    this.choose(null);
    return this.visible().length;
  }

  /** Dim all classes but one; null lights them again. */
  light(label) {
    this.picture.classList.toggle("dimmed", label !== null);
    this.points.forEach((point, index) => point.classList.toggle("lit", this.embedding.labels[index] === label));
  }
}
