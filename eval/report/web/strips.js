/** Queries, each with its nearest shapes. */
function stripsOf(retrieved) {
  const right = retrieved.reduce((sum, { label, found }) => sum + found.filter((hit) => hit.label === label).length, 0);
  const all = retrieved.reduce((sum, { found }) => sum + found.length, 0);
  const note = `A query and its nearest shapes, nearest first: ${right} of ${all} are of the query's class.`;
  const strips = retrieved.map(({ picture: number, label, found }) => {
    const query = element(
      "div",
      { class: "query" },
      picture(number, `query: ${label}`),
      element("p", { title: label }, label),
    );
    const hits = found.map((hit) => {
      const verdict = hit.label === label ? "right" : "wrong";
      const caption = element("p", { title: hit.label }, verdict === "right" ? "✓ " : "✗ ", hit.label);
      return element("li", { class: verdict }, picture(hit.picture, `${verdict}: ${hit.label}`), caption);
    });
    return element("li", { class: "strip" }, query, element("ol", {}, ...hits));
  });
  return figure("strips", "Retrieval", note, element("ul", {}, ...strips));
}
