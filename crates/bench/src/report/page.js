// Shows the values under the pointer; the plots themselves need no script.
for (const plot of document.querySelectorAll(".plot")) {
  const { x, names, unit, curves } = JSON.parse(plot.querySelector("script").textContent);
  const [svg, tip] = [plot.querySelector("svg"), plot.querySelector(".tip")];
  const cross = svg.querySelector(".cross");
  const hide = () => {
    tip.hidden = true;
    cross.setAttribute("hidden", "");
  };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    if (x.length === 0) return;
    const { left, width } = svg.getBoundingClientRect();
    const at = ((event.clientX - left) / width) * svg.viewBox.baseVal.width;
    const nearest = x.reduce((best, one, index) => (Math.abs(one - at) < Math.abs(x[best] - at) ? index : best), 0);
    cross.removeAttribute("hidden");
    cross.setAttribute("x1", x[nearest]);
    cross.setAttribute("x2", x[nearest]);
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: names[nearest] }));
    for (const { name, colour, texts } of curves) {
      if (texts[nearest] === null) continue;
      const row = document.createElement("div");
      const dot = document.createElement("i");
      dot.style.background = `var(--${colour})`;
      row.append(dot, `${name}: ${texts[nearest]} ${unit}`);
      tip.append(row);
    }
    tip.hidden = false;
    const middle = x[nearest] / svg.viewBox.baseVal.width;
    tip.style.left = middle < 0.6 ? `calc(${middle * 100}% + 12px)` : "auto";
    tip.style.right = middle < 0.6 ? "auto" : `calc(${(1 - middle) * 100}% + 12px)`;
  });
}
