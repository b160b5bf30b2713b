// <button data-chart-image="Title"> saves the chart beside it as a PNG, as it looks now: title, legend and plot. The
// picture is drawn from a copy whose styles stand in its attributes, since an image of its own has no style sheets.
const SCALE = 2;
const MARGIN = 24;
const LINE = 22;
const PROPERTIES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "vector-effect", "font-size", "font-family", "text-anchor"];
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function plain(original) {
  const copy = original.cloneNode(true);
  const originals = [original, ...original.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, index) => {
    const look = getComputedStyle(originals[index]);
    if (look.display === "none") node.setAttribute("display", "none");
    for (const name of PROPERTIES) {
      if (name === "fill" && node.getAttribute("fill")?.startsWith("url(")) continue;
      const value = look.getPropertyValue(name);
      if (value) node.setAttribute(name, value);
    }
  });
  for (const node of copy.querySelectorAll(".chart-hit, a")) node.remove();
  return copy;
}

function legend(figure, color, font, width) {
  const group = element("g", { "font-family": font, "font-size": 12, fill: color });
  let x = MARGIN;
  let y = MARGIN + LINE * 1.75;
  for (const button of figure.querySelectorAll(".chart-legend [aria-pressed=true]")) {
    const label = button.textContent.trim();
    const needed = 26 + label.length * 6.8;
    if (x > MARGIN && x + needed > width - MARGIN) {
      x = MARGIN;
      y += LINE;
    }
    const mark = plain(button.querySelector("svg"));
    for (const [key, value] of Object.entries({ x, y: y - 9, width: 10, height: 10 })) mark.setAttribute(key, value);
    group.append(mark, element("text", { x: x + 16, y }, label));
    x += needed;
  }
  return { group, bottom: x > MARGIN || y > MARGIN + LINE * 1.75 ? y + LINE / 2 : MARGIN + LINE };
}

function picture(figure, title) {
  const plot = figure.querySelector(".chart-svg");
  const left = parseFloat(getComputedStyle(plot.parentElement).paddingInlineStart);
  const box = plot.getBoundingClientRect();
  const width = Math.ceil(box.width + left + 2 * MARGIN);
  const look = getComputedStyle(figure);
  const color = look.color;
  const names = legend(figure, color, look.fontFamily, width);
  const height = Math.ceil(names.bottom + box.height + MARGIN);
  const whole = element("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` });
  const background = getComputedStyle(document.documentElement).getPropertyValue("--surface");
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(figure.closest(".card") || document.body).backgroundColor || background;
  const copy = plain(plot);
  for (const [key, value] of Object.entries({ x: MARGIN + left, y: names.bottom, width: box.width, height: box.height })) copy.setAttribute(key, value);
  copy.setAttribute("overflow", "visible");
  whole.append(
    element("rect", { width, height, fill: probe.fillStyle }),
    element("text", { x: MARGIN, y: MARGIN + 8, fill: color, "font-family": look.fontFamily, "font-size": 15, "font-weight": 600 }, title),
    names.group,
    copy,
  );
  return { source: new XMLSerializer().serializeToString(whole), width, height };
}

async function save(button) {
  const { source, width, height } = picture(button.closest(".chart"), button.dataset.chartImage);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const link = document.createElement("a");
  link.download = `${button.dataset.chartImage.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-")}.png`;
  link.href = canvas.toDataURL("image/png");
  link.click();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-chart-image]");
  if (button) save(button);
});
