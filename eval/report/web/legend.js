/** The classes that occur in a map, each with a box to tick; their names are the map's legend. */
function legendOf(embedding, map) {
  const counts = new Map();
  for (const label of embedding.labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const present = [...counts.keys()].sort((a, b) => a - b);
  const status = element("p", { class: "shown", role: "status" });
  const mistakes = element("input", {
    type: "checkbox",
    change: () => ((filter.mistakes = mistakes.checked), refresh()),
  });
  const boxes = new Map(
    present.map((label) => [
      label,
      element("input", { type: "checkbox", value: label, change: (event) => tick(label, event.target.checked) }),
    ]),
  );

  function refresh() {
    for (const [label, box] of boxes) box.checked = filter.shown.has(label);
    mistakes.checked = filter.mistakes;
    const left = map.apply();
    const classes = present.filter((label) => filter.shown.has(label)).length;
    status.textContent = `${left} of ${embedding.labels.length} objects, ${classes} of ${present.length} classes shown`;
  }

  function tick(label, on) {
    if (on) filter.shown.add(label);
    else filter.shown.delete(label);
    refresh();
  }

  function showOnly(labels) {
    filter.shown = new Set(labels);
    refresh();
  }

  const lines = present.map((label) => {
    const name = element("span", { class: "name", title: report.classes[label] }, report.classes[label]);
    const light = {
      pointerenter: () => map.light(label),
      pointerleave: () => map.light(null),
      focusin: () => map.light(label),
      focusout: () => map.light(null),
    };
    const only = element(
      "button",
      { type: "button", class: "only", "aria-label": `only ${report.classes[label]}`, click: () => showOnly([label]) },
      "only",
    );
    return element(
      "li",
      light,
      element("label", {}, boxes.get(label), swatch(label), name),
      element("span", { class: "count" }, String(counts.get(label))),
      only,
    );
  });
  const buttons = [
    element("button", { type: "button", class: "all", click: () => showOnly(report.classes.keys()) }, "All"),
    element("button", { type: "button", class: "none", click: () => showOnly([]) }, "None"),
    element("label", { class: "mistakes" }, mistakes, "mistakes only"),
  ];
  const legend = element(
    "fieldset",
    { class: "legend" },
    element("legend", {}, "Classes"),
    element("div", { class: "buttons" }, ...buttons),
    status,
    element("ul", {}, ...lines),
  );
  refresh();
  return legend;
}
