/** The small card beside the pointer, or beside what the keyboard has chosen; one for the whole page. */
const card = {
  node: element("div", { class: "card", role: "status", hidden: true }),

  /** Show nodes beside the point (x, y) of the window, inside the window; from there the card scrolls with the page. */
  show(x, y, ...content) {
    this.node.replaceChildren(...content);
    this.node.hidden = false;
    const { width, height } = this.node.getBoundingClientRect();
    const gap = 14;
    const left = x + gap + width > document.documentElement.clientWidth ? x - gap - width : x + gap;
    const top = y + gap + height > window.innerHeight ? y - gap - height : y + gap;
    this.node.style.left = `${Math.max(4, left) + window.scrollX}px`;
    this.node.style.top = `${Math.max(4, top) + window.scrollY}px`;
  },

  hide() {
    this.node.hidden = true;
  },
};

document.addEventListener("keydown", (event) => event.key === "Escape" && card.hide());
