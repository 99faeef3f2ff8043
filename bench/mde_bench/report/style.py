"""The style of the report: on a desk and a phone, light and dark, on screen and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --ink: #1b2330; --soft: #5b6676; --rule: #dde1e7;
  --accent: #1f5fbf; --fill: #b9d2f3; --good: #15703f; --good-card: #e5f5ec; --bad: #a3261c; --bad-card: #fdecea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161d; --card: #1a2029; --ink: #e8ecf2; --soft: #9aa6b6; --rule: #2c3542;
    --accent: #7fb0f5; --fill: #2b4a78; --good: #6fd39c; --good-card: #14301f; --bad: #ff9c90; --bad-card: #3a1a17;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
h3 small, p.soft, figcaption, dt { color: var(--soft); font-weight: 400; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--accent); }
.verdict {
  padding: 1.1rem 1.25rem; border-radius: .6rem; border-left: .4rem solid var(--good); background: var(--good-card);
}
.verdict.no { border-color: var(--bad); background: var(--bad-card); }
.verdict b.word { color: var(--good); letter-spacing: .04em; font-size: .85rem; text-transform: uppercase; }
.verdict.no b.word { color: var(--bad); }
.verdict ul { margin: .6rem 0 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; min-width: 100%; }
th, td { padding: .35rem .55rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child {
  text-align: left; position: sticky; left: 0; background: var(--paper); padding-left: 0;
}
td:first-child { font-weight: 600; }
td small { color: var(--soft); display: block; font-weight: 400; }
dl { display: grid; grid-template-columns: fit-content(14rem) 1fr; gap: .2rem 1rem; font-size: .95rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.plots {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; align-items: start;
}
.plots figure { margin: 0; padding: .8rem; border-radius: .6rem; background: var(--card); break-inside: avoid; }
.plots figcaption { font-size: .88rem; }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, -apple-system, "DejaVu Sans", sans-serif; }
svg text.ink { fill: var(--ink); } svg text.soft { fill: var(--soft); }
svg text { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
svg .grid { stroke: var(--rule); } svg .limit { stroke: var(--bad); stroke-dasharray: 4 4; opacity: .8; }
svg .bump { fill: var(--fill); stroke: var(--accent); stroke-width: 1; }
svg .median { stroke: var(--ink); stroke-width: 1.5; } svg .interval { fill: var(--accent); }
svg .tail, svg .mark { fill: var(--accent); stroke: var(--card); }
svg .front { fill: none; stroke: var(--accent); stroke-width: 1.5; opacity: .6; }
.strip { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; break-inside: avoid; }
.strip figure { margin: 0; }
.strip img { width: 100%; height: auto; display: block; border-radius: .3rem; cursor: zoom-in; }
figcaption { font-size: .85rem; }
.scales { display: grid; grid-template-columns: 1fr 1fr; gap: .3rem 2rem; font-size: .85rem; }
.scale div { height: .8rem; border-radius: .2rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.scale p { display: flex; justify-content: space-between; margin: 0; color: var(--soft); max-width: none; }
button {
  font: inherit; font-size: .85rem; padding: .2rem .7rem; border: 1px solid var(--rule); border-radius: .4rem;
  background: var(--card); color: var(--accent); cursor: pointer;
}
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .8rem 3rem; }
  .strip, .scales { grid-template-columns: 1fr 1fr; }
  .scales { grid-template-columns: 1fr; }
  th { min-width: 5rem; }
  svg { font-size: 15px; }
  td:first-child { white-space: normal; min-width: 8rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --accent: #1f5fbf; --fill: #cfe0f7; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  button, .on-screen { display: none; }
  h2, h3, .scales { break-after: avoid; }
  .plots { grid-template-columns: 1fr 1fr; }
  tr, .scales, .verdict { break-inside: avoid; }
  svg { font-size: 15px; }
  .wide { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: .2rem .3rem; white-space: normal; min-width: 0; }
}
"""

# Saving needs a script; everything else reads without one.
SCRIPT = """
const save = (name, parts, type) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts, {type}));
  link.download = name;
  link.click();
};
const kinds = {
  json: id => save(id + '.json', [document.getElementById(id).textContent], 'application/json'),
  csv: id => save(id + '.csv', [[...document.getElementById(id).rows].map(row =>
    [...row.cells].map(cell => '"' + cell.innerText.replaceAll('"', '""').replaceAll('\\n', ' ') + '"').join(',')
  ).join('\\n')], 'text/csv'),
  svg: id => {
    const plot = document.getElementById(id), copy = plot.cloneNode(true);
    const shown = plot.querySelectorAll('*');
    copy.querySelectorAll('*').forEach((mark, i) => {
      const style = getComputedStyle(shown[i]);
      for (const name of ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'paint-order', 'opacity', 'font'])
        mark.style.setProperty(name, style.getPropertyValue(name));
    });
    save(id + '.svg', [new XMLSerializer().serializeToString(copy)], 'image/svg+xml');
  },
};
document.addEventListener('click', event => {
  const {kind, of} = event.target.dataset;
  if (kind) kinds[kind](of);
  if (event.target.matches('.strip img')) savePicture(event.target);
});
const savePicture = image => {
  const bytes = Uint8Array.from(atob(image.src.split(',')[1]), letter => letter.charCodeAt(0));
  save(image.alt.replaceAll(' ', '-').toLowerCase() + '.png', [bytes], 'image/png');
};
"""
