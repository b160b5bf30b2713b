// The columns of a chart are one stop of the Tab key; the arrow keys, Home and End walk through them.
// A legend entry that is pressed keeps the focus when the chart is drawn anew without it.
const COLUMNS = "[data-chart-tip][tabindex], a:has(> [data-chart-tip])";
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const columnsOf = (chart) => [...chart.querySelectorAll(COLUMNS)];

function settle(chart) {
  columnsOf(chart).forEach((column, index, all) => column.setAttribute("tabindex", index === all.length - 1 ? "0" : "-1"));
}

document.querySelectorAll(".chart-svg").forEach(settle);
document.addEventListener("htmx:load", (event) => event.target.querySelectorAll?.(".chart-svg").forEach(settle));
document.addEventListener("keydown", (event) => {
  const column = event.target.closest?.(COLUMNS);
  if (!column || !(event.key in STEPS) || event.altKey || event.ctrlKey || event.metaKey) return;
  const columns = columnsOf(column.closest(".chart-svg"));
  const next = columns[Math.max(0, Math.min(columns.length - 1, columns.indexOf(column) + STEPS[event.key]))];
  event.preventDefault();
  column.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
});

let pressed = "";
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches?.(".chart-legend")) pressed = document.activeElement?.id || "";
});
document.addEventListener("htmx:afterSettle", () => {
  if (pressed && document.activeElement === document.body) document.getElementById(pressed)?.focus();
  pressed = "";
});
