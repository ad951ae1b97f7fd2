"use strict";
// Each figure's data lie beside it, and plotly.js at the end, as gzip in base64; nothing is fetched.
async function unpacked(holder) {
  const bytes = Uint8Array.from(atob(holder.textContent), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function draw() {
  const library = document.createElement("script");
  library.textContent = await unpacked(document.getElementById("plotly"));
  document.head.append(library);
  const touch = window.matchMedia("(pointer: coarse)").matches;
  for (const holder of document.querySelectorAll("script[data-figure]")) {
    const figure = JSON.parse(await unpacked(holder));
    // A finger that moves over a figure scrolls the page; a mouse that drags zooms.
    if (touch) figure.layout.dragmode = false;
    Plotly.newPlot(holder.dataset.figure, figure.data, figure.layout, {
      responsive: true,
      displayModeBar: false,
    });
  }
}

draw().catch((error) => {
  document.getElementById("undrawn").hidden = false;
  throw error;
});
