// One bubble for [data-tooltip] (a line of text) and [data-chart-tip] (a bucket of a chart), on hover and on focus.
const bubble = document.createElement("div");
bubble.className = "tooltip";
bubble.popover = "manual";
bubble.setAttribute("aria-hidden", "true");
document.body.append(bubble);
let owner = null;
const GAP = 8;

function place(target) {
  const anchor = target.getBoundingClientRect();
  const box = bubble.getBoundingClientRect();
  const isChart = target.hasAttribute("data-chart-tip");
  const centre = anchor.left + anchor.width / 2 - box.width / 2;
  const left = Math.max(GAP, Math.min(centre, innerWidth - box.width - GAP));
  const above = anchor.top - box.height - (isChart ? -GAP : GAP - 2);
  const top = above < GAP ? (isChart ? GAP : anchor.bottom + GAP - 2) : above;
  bubble.style.left = `${left}px`;
  bubble.style.top = `${top}px`;
}

function chartContent(target) {
  const { title, lines } = JSON.parse(target.dataset.chartTip);
  const heading = document.createElement("div");
  heading.className = "tooltip-title";
  heading.textContent = title;
  const rows = lines.map(([css, label, value]) => {
    const row = document.createElement("div");
    row.className = "tooltip-line";
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("viewBox", "0 0 8 8");
    const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    square.setAttribute("class", css);
    square.setAttribute("width", "8");
    square.setAttribute("height", "8");
    square.setAttribute("rx", "2");
    if (css) mark.append(square);
    const name = document.createElement("span");
    name.textContent = label;
    const figure = document.createElement("span");
    figure.textContent = value;
    row.append(mark, name, figure);
    return row;
  });
  return [heading, ...rows];
}

function show(target) {
  owner = target;
  const isChart = target.hasAttribute("data-chart-tip");
  bubble.classList.toggle("tooltip-chart", isChart);
  if (isChart) bubble.replaceChildren(...chartContent(target));
  else bubble.textContent = target.dataset.tooltip;
  if (!bubble.matches(":popover-open")) bubble.showPopover();
  place(target);
}

function hide() {
  owner = null;
  if (bubble.matches(":popover-open")) bubble.hidePopover();
}

const find = (event) => event.target.closest?.("[data-tooltip], [data-chart-tip]");
document.addEventListener("pointerover", (event) => {
  const target = find(event);
  if (target && target !== owner) show(target);
  else if (!target && owner) hide();
});
document.addEventListener("focusin", (event) => {
  const target = find(event);
  if (target && event.target.matches(":focus-visible")) show(target);
  else hide();
});
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
document.addEventListener("scroll", hide, { capture: true, passive: true });
document.addEventListener("pointerleave", hide);
