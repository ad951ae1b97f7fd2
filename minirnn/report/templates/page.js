"use strict";
// Each figure's data lie beside it as JSON; nothing is fetched.
const touch = window.matchMedia("(pointer: coarse)").matches;
for (const holder of document.querySelectorAll("script[data-figure]")) {
  const figure = JSON.parse(holder.textContent);
  // A finger that moves over a figure scrolls the page; a mouse that drags zooms.
  if (touch) figure.layout.dragmode = false;
  Plotly.newPlot(holder.dataset.figure, figure.data, figure.layout, {
    responsive: true,
    displayModeBar: false,
  });
}
