/** Figures of each class by one protocol. */
function classesOf({ title, columns, rows }) {
  const head = ["Class", ...columns].map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(({ name, values }) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...values.map(classCell)),
  );
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
  const region = { class: "scroll", tabindex: 0, role: "region", "aria-label": title };
  const note = "Figures are percent, counts whole numbers; empty where neither truth nor answers have the class.";
  return figure("classes", title, note, element("div", region, table));
}

function classCell(value) {
  if (value === null) return element("td", { class: "empty" });
  return element("td", {}, typeof value === "number" ? value.toFixed(1) : value);
}
