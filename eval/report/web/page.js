/** The page: title, facts, table, then one panel for the method that is chosen. */
function panelOf(section) {
  const { embedding, retrieved, segmented, curves, matrix, tables = [], frames } = section;
  const figures = [
    embedding && mapOf(embedding),
    embedding && element("div", { class: "matrix-and-bars" }, matrixOf(embedding), barsOf(embedding)),
    matrix && element("div", { class: "matrix-and-bars" }, matrixOf(matrix), barsOf(matrix)),
    ...tables.map(classesOf),
    retrieved.length && stripsOf(retrieved),
    segmented.length && cloudsOf(segmented),
    frames && framesOf(frames),
    curves.length && curvesOf(curves),
  ];
  return figures.filter(Boolean);
}

function methods() {
  const sections = report.sections.filter(
    ({ embedding, matrix, tables, frames, ...lists }) =>
      embedding || matrix || tables || frames || lists.retrieved.length || lists.segmented.length || lists.curves.length,
  );
  if (!sections.length) return [];
  const panel = element("div", { id: "panel", class: "panel" });
  if (sections.length === 1) {
    panel.append(...panelOf(sections[0]));
    return [element("h2", {}, sections[0].name), panel];
  }

  const tabs = sections.map((section, index) =>
    element(
      "button",
      { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "panel", click: () => open(index) },
      section.name,
    ),
  );

  function open(index) {
    tabs.forEach((tab, number) =>
      furnish(tab, { "aria-selected": String(number === index), tabindex: number === index ? 0 : -1 }, []),
    );
    furnish(panel, { role: "tabpanel", "aria-labelledby": `tab-${index}` }, []);
    card.hide();
    panel.replaceChildren(...panelOf(sections[index]));
  }

  function step(event) {
    const direction = ARROWS[event.key]?.[0];
    if (!direction) return;
    event.preventDefault();
    const next = (tabs.indexOf(document.activeElement) + direction + tabs.length) % tabs.length;
    open(next);
    tabs[next].focus();
  }

  open(0);
  return [
    element(
      "nav",
      { class: "tabs" },
      element("div", { role: "tablist", "aria-label": "Methods", keydown: step }, ...tabs),
    ),
    panel,
  ];
}

const content = [element("header", {}, element("h1", {}, report.title), listOfFacts()), tableOfRows(), ...methods()];
document.getElementById("page").append(...content.filter(Boolean), card.node);
