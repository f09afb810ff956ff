"""The report's page: HTML, style and script with marks where the results go."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Super-resolution: @@TITLE@@</title>
<style>
:root { color-scheme: light dark; --line: #8886; --mark: #0a6cca; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; white-space: nowrap; }
.remarks { font-size: .85rem; }
.warning { border-left: .3rem solid #c60; padding-left: 1rem; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; height: auto; background: #fff; }
figcaption { font-size: .85rem; }
dt { font-weight: 600; } dd { margin: 0 0 .3rem 1rem; overflow-wrap: anywhere; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: end; }
.controls label { display: grid; font-size: .85rem; }
select, input[type=range] { font: inherit; min-height: 2.4rem; max-width: 100%; }
#wipe { width: 100%; }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.stage { position: relative; background: #000; margin-top: .6rem; max-width: min(40rem, 60vh); touch-action: pan-y; }
.stage img { display: block; width: 100%; image-rendering: pixelated; user-select: none; }
.stage img + img { position: absolute; inset: 0; height: 100%; }
.stage hr { position: absolute; inset-block: 0; margin: 0; border: 0; border-left: 2px solid #ff0;
  transform: translateX(-1px); pointer-events: none; }
</style>
</head>
<body>
<main>
<h1>Super-resolution: @@TITLE@@</h1>
@@LEFT_OUT@@
<section aria-labelledby="compare"><h2 id="compare">Compare</h2>
<div class="controls">
<label>Subject <select id="subject"></select></label>
<label>Left <select id="left"></select></label>
<label>Right <select id="right"></select></label>
</div>
<div class="stage" id="stage"><img id="under" alt=""><img id="over" alt=""><hr id="edge"></div>
<label for="wipe">Wipe between left and right (arrow keys work)</label>
<input type="range" id="wipe" min="0" max="100" value="50" step="1">
<p id="status" role="status"></p>
</section>
<section aria-labelledby="tables"><h2 id="tables">Tables</h2>@@TABLES@@@@PAIRED@@</section>
<section aria-labelledby="figures"><h2 id="figures">Figures</h2>@@FIGURES@@</section>
<section aria-labelledby="conventions"><h2 id="conventions">Conventions</h2>@@CONVENTIONS@@</section>
</main>
<script type="application/json" id="images">@@IMAGES@@</script>
<script>
"use strict";
const images = JSON.parse(document.getElementById("images").textContent);
const part = name => document.getElementById(name);
const fill = (select, names, chosen) => {
  select.replaceChildren(...names.map((name, index) => new Option(name, index)));
  select.value = Math.max(0, Math.min(names.length - 1, chosen));
};
const methods = () => images[part("subject").value].methods;
function chooseSubject() {
  const names = methods().map(method => method[0]);
  fill(part("left"), names, 0);
  fill(part("right"), names, names.length - 1);
  draw();
}
function draw() {
  const left = methods()[part("left").value], right = methods()[part("right").value];
  part("over").src = left[1]; part("over").alt = left[0] + " slice";
  part("under").src = right[1]; part("under").alt = right[0] + " slice";
  wipe();
}
function wipe() {
  const share = Number(part("wipe").value);
  const names = [part("left"), part("right")].map(select => select.selectedOptions[0].textContent);
  part("over").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  part("edge").style.left = share + "%";
  part("wipe").setAttribute("aria-valuetext", `${share} % ${names[0]}, ${100 - share} % ${names[1]}`);
  part("status").textContent = `${names[0]} left, ${names[1]} right, border at ${share} %`;
}
function drag(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const box = part("stage").getBoundingClientRect();
  part("wipe").value = Math.round(100 * (event.clientX - box.left) / box.width);
  wipe();
}
if (images.length && images.every(entry => entry.methods.length)) {
  fill(part("subject"), images.map(entry => entry.subject), 0);
  part("subject").addEventListener("change", chooseSubject);
  for (const name of ["left", "right"]) part(name).addEventListener("change", draw);
  part("wipe").addEventListener("input", wipe);
  for (const name of ["pointerdown", "pointermove"]) part("stage").addEventListener(name, drag);
  part("stage").addEventListener("dragstart", event => event.preventDefault());
  chooseSubject();
} else {
  document.querySelector("section[aria-labelledby=compare]").hidden = true;
}
</script>
</body>
</html>
"""
