/** Accuracy of each class that occurs, best first. */
function barsOf({ confusion, classes = report.classes, counted = "object" }) {
  const scores = confusion
    .map((row, label) => ({ label, right: row[label], total: row.reduce((sum, count) => sum + count, 0) }))
    .filter(({ total }) => total > 0)
    .sort((a, b) => b.right / b.total - a.right / a.total || a.label - b.label);
  const sum = (key) => scores.reduce((all, score) => all + score[key], 0);
  const overall = sum("right") / sum("total");
  const mean = scores.reduce((all, { right, total }) => all + right / total, 0) / scores.length;
  const note = `Over all ${counted}s ${percent(overall, 1)}, mean of the classes ${percent(mean, 1)}.`;
  const lines = scores.map(({ label, right, total }) => {
    const bar = element("span", { class: "bar" }, element("span", {}));
    bar.firstChild.style.width = `${(100 * right) / total}%`;
    const name = element("span", { class: "name", title: classes[label] }, classes[label]);
    return element(
      "li",
      { title: `${right} of ${total}` },
      name,
      bar,
      element("span", { class: "value" }, percent(right / total)),
    );
  });
  return figure("bars", "Accuracy by class", note, element("ul", {}, ...lines));
}
