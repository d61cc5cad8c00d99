/** Labels against predictions; classes that neither has are left out. */
function matrixOf({ confusion, classes = report.classes, counted = "object" }) {
  const present = [...classes.keys()].filter(
    (label) => confusion[label].some(Boolean) || confusion.some((row) => row[label]),
  );
  const note =
    "Rows are true classes, columns predictions, color the share of the row: blue where they agree, red where they do not.";
  return figure(
    "matrix",
    "Confusion matrix",
    note,
    element("div", { class: "scroll" }, new ConfusionMatrix(confusion, present, classes, counted).picture),
  );
}

class ConfusionMatrix {
  constructor(confusion, present, classes, counted) {
    Object.assign(this, { confusion, present, classes, counted, chosen: null });
    const names = present.map((label) => shortened(classes[label], 18));
    this.side = Math.max(13, Math.min(44, 620 / present.length));
    this.margin = 14 + 6.3 * Math.max(...names.map((name) => name.length));
    const span = this.side * present.length;
    const size = this.margin + span + 4;
    const middle = (index) => this.margin + this.side * (index + 0.5);
    this.bands = ["row", "column"].map(() => drawing("rect", { class: "band", visibility: "hidden" }));
    this.picture = drawing(
      "svg",
      {
        width: size, // fixed: with many classes the page scrolls sideways rather than shrink the names
        height: size,
        tabindex: 0,
        role: "application",
        "aria-label": `Confusion matrix of ${present.length} classes; arrow keys go from cell to cell`,
        pointermove: (event) => this.point(event),
        pointerdown: (event) => this.point(event),
        pointerleave: (event) => event.pointerType === "mouse" && this.choose(null), // a finger leaves after each tap
        blur: () => this.choose(null),
        keydown: (event) => this.step(event),
      },
      drawing("rect", { class: "ground", x: this.margin, y: this.margin, width: span, height: span }),
      ...this.bands,
      ...this.cells(),
      ...names.map((name, index) => drawing("text", { x: this.margin - 6, y: middle(index), class: "row-name" }, name)),
      ...names.map((name, index) =>
        drawing(
          "text",
          { transform: `translate(${middle(index)} ${this.margin - 6}) rotate(-90)`, class: "column-name" },
          name,
        ),
      ),
    );
  }

  cells() {
    const place = (index) => this.margin + this.side * index + 0.5;
    return this.present.flatMap((label, row) => {
      const total = this.confusion[label].reduce((sum, count) => sum + count, 0);
      return this.present.flatMap((answer, column) => {
        const count = this.confusion[label][answer];
        if (!count) return [];
        const look = {
          class: row === column ? "cell right" : "cell wrong",
          "fill-opacity": Math.sqrt(count / total).toFixed(3),
        };
        return drawing("rect", {
          ...look,
          x: place(column),
          y: place(row),
          width: this.side - 1,
          height: this.side - 1,
        });
      });
    });
  }

  point(event) {
    const box = this.picture.getBoundingClientRect();
    const index = (client) => Math.floor((client - this.margin) / this.side);
    this.choose([index(event.clientY - box.top), index(event.clientX - box.left)]);
  }

  step(event) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    const clamp = (index) => Math.max(0, Math.min(this.present.length - 1, index));
    const [row, column] = this.chosen ?? [0, 0];
    this.choose(this.chosen ? [clamp(row + direction[1]), clamp(column + direction[0])] : [0, 0]);
  }

  choose(cell) {
    const inside = cell !== null && cell.every((index) => index >= 0 && index < this.present.length);
    this.chosen = inside ? cell : null;
    for (const band of this.bands) band.setAttribute("visibility", inside ? "visible" : "hidden");
    if (!inside) return card.hide();
    const [row, column] = cell.map((index) => this.margin + this.side * index);
    const full = { x: 0, y: 0, width: this.margin + this.side * this.present.length };
    furnish(this.bands[0], { ...full, y: row, height: this.side }, []);
    furnish(this.bands[1], { ...full, x: column, width: this.side, height: full.width }, []);

    const [label, answer] = cell.map((index) => this.present[index]);
    const [count, total] = [this.confusion[label][answer], this.confusion[label].reduce((sum, n) => sum + n, 0)];
    const share = total ? `${count} of ${total} (${percent(count / total)})` : `no ${this.counted} of this class`;
    const names =
      label === answer
        ? `${this.classes[label]}, recognized`
        : `${this.classes[label]} taken for ${this.classes[answer]}`;
    const box = this.picture.getBoundingClientRect();
    card.show(
      box.left + column + this.side / 2,
      box.top + row + this.side / 2,
      element("p", { class: "name" }, names),
      element("p", {}, share),
    );
  }
}

function shortened(name, length) {
  return name.length > length ? `${name.slice(0, length - 1)}…` : name;
}
