/** Facts and figures at the top of the page. */
function tableOfRows() {
  if (!report.rows.length) return null;
  const best = bestMeasured();
  const head = element("tr", {}, element("th", { scope: "col" }, "Method"), ...report.columns.map(columnHead));
  const body = report.rows.map((row) => {
    const cells = report.columns.map((column) => cellOf(row, column, best.get(column)));
    return element("tr", { class: row.source === null ? "measured" : "published" }, rowHead(row), ...cells);
  });
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const published = report.rows.some((row) => row.source !== null);
  const note =
    "Percent, ± standard deviation over runs; bold: the best measured here." +
    (published ? " Published figures are quoted, not measured." : "");
  return element(
    "section",
    { class: "results" },
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Results" }, table),
    element("p", { class: "note" }, note),
  );
}

function columnHead(column) {
  const [protocol, ...data] = column.split(", ");
  return element("th", { scope: "col" }, protocol, data.length ? element("small", {}, data.join(", ")) : null);
}

function rowHead(row) {
  if (row.source === null) return element("th", { scope: "row" }, row.name);
  const source = element("small", {}, element("span", { class: "badge" }, "published"), ` ${row.source}`);
  return element("th", { scope: "row" }, row.name, source);
}

function cellOf(row, column, best) {
  const cell = Object.hasOwn(row.cells, column) ? row.cells[column] : null;
  if (cell === null || cell.mean === null) return element("td", { class: "empty" });
  const mean = cell.mean.toFixed(1);
  const figure = element(row.source === null && cell.mean === best ? "strong" : "span", {}, mean);
  const spread = cell.deviation === null ? null : element("small", {}, ` ± ${cell.deviation.toFixed(1)}`);
  return element("td", { title: cell.runs > 1 ? `${cell.runs} runs` : null }, figure, spread);
}

function bestMeasured() {
  const best = new Map();
  for (const row of report.rows.filter((row) => row.source === null)) {
    for (const [column, { mean }] of Object.entries(row.cells)) {
      if (mean !== null && !(mean <= best.get(column))) best.set(column, mean);
    }
  }
  return best;
}

function listOfFacts() {
  if (!report.facts.length) return null;
  const entries = report.facts.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value)),
  );
  return element("dl", { class: "facts" }, ...entries);
}
