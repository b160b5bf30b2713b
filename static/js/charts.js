// The columns of a chart are one stop of the Tab key; the arrow keys, Home and End walk through them.
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
