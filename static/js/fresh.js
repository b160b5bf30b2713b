// Parts of a page that follow the live figures: <… data-fresh-url="/…" data-fresh-target="#id">. When the stream tells of
// other figures, htmx fetches the parts, which replace themselves by hx-swap-oob. A call reaches the charts some seconds
// after it was counted, so each change is looked at twice. What is being read is left alone.
const host = document.querySelector("[data-fresh-url]");
const SETTLE_MS = 4000;
const EVERY_MS = 12000;
let known = "";
let looks = 0;
let timer = 0;

const isBeingRead = () => Boolean(host.querySelector(".chart-table[open], .chart-svg :focus, .chart-legend :focus-visible"));

function look() {
  timer = 0;
  if (!document.hidden && !isBeingRead()) {
    looks -= 1;
    window.htmx.ajax("GET", host.dataset.freshUrl + location.search, { target: host.dataset.freshTarget, swap: "none" });
  }
  if (looks > 0) timer = setTimeout(look, EVERY_MS);
}

document.addEventListener("ui:live", (event) => {
  if (!host) return;
  const figures = JSON.stringify(event.detail);
  const isFirst = !known;
  if (figures === known) return;
  known = figures;
  if (isFirst) return;
  looks = 2;
  timer ||= setTimeout(look, SETTLE_MS);
});
