/* Curves and histograms as SVG, redrawn when their width changes.

   kind "lines": series of {name, x, y, colour, dashed, shown}; xLabel, yLabel; and as wanted: log (powers of ten on y),
   yMax, rules ({y, label}), marker ({x, y, label}), points (dots at values), resolution (Å above the plot).
   kind "bars": edges, counts, xLabel, yLabel. */
const PLOTS = (() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const DASH = "6 4";
  const RESOLUTIONS = [200, 100, 50, 30, 20, 15, 10, 8, 6, 5, 4.5, 4, 3.5, 3, 2.8, 2.5, 2.2, 2, 1.8, 1.6, 1.4, 1.2, 1];

  const draw = (name, attributes, parent, text) => {
    const element = document.createElementNS(SPACE, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    parent?.append(element);
    return element;
  };
  const html = (name, attributes, parent, text) => {
    const element = document.createElement(name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    parent?.append(element);
    return element;
  };

  /* Round numbers from low to high, about so many. */
  function ticks(low, high, about) {
    const rough = (high - low) / about || 1;
    const decade = 10 ** Math.floor(Math.log10(rough));
    const step = decade * [1, 2, 5, 10].find((factor) => factor * decade >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
    return found;
  }
  const short = (value) => {
    const size = Math.abs(value);
    if (value === 0) return "0";
    if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
    return String(Number(value.toPrecision(4))).replace(/^-/, "−");
  };
  const exact = (value) => (value === null ? "" : short(Number(value.toPrecision(4))));

  function frame(box, of, width, xs, ys) {
    const height = Math.round(Math.max(230, Math.min(of.rules ? 430 : 320, width * 0.56)));
    const left = 68, right = of.rules ? 40 : 14, top = of.resolution ? 40 : 14, bottom = 46;
    const toY = of.log ? Math.log10 : (v) => v;
    const [y0, y1] = ys.map(toY);
    const at = {
      x: (v) => left + ((v - xs[0]) / (xs[1] - xs[0] || 1)) * (width - left - right),
      y: (v) => height - bottom - ((toY(v) - y0) / (y1 - y0 || 1)) * (height - top - bottom),
      left, right: width - right, top, bottom: height - bottom, width, height,
    };
    at.value = (px) => xs[0] + ((px - left) / (width - left - right)) * (xs[1] - xs[0]);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0 });
    svg.setAttribute("aria-label", `${box.dataset.label}. Arrow keys read values.`);
    const many = Math.max(4, Math.floor(width / 80));
    const marks = of.log && y1 - y0 > 1 ? powers(y0, y1) : ticks(ys[0], ys[1], 5);
    for (const v of marks) {
      draw("line", { class: "grid", x1: at.left, x2: at.right, y1: at.y(v), y2: at.y(v) }, svg);
      draw("text", { x: at.left - 8, y: at.y(v) + 4, "text-anchor": "end" }, svg, short(v));
    }
    for (const v of ticks(xs[0], xs[1], many)) {
      draw("line", { class: "axis", x1: at.x(v), x2: at.x(v), y1: at.bottom, y2: at.bottom + 5 }, svg);
      draw("text", { x: at.x(v), y: at.bottom + 19, "text-anchor": "middle" }, svg, short(v));
    }
    draw("path", { class: "axis", d: `M${at.left} ${at.top}V${at.bottom}H${at.right}` }, svg);
    draw("text", { x: (at.left + at.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, of.xLabel);
    const side = `translate(11 ${(at.top + at.bottom) / 2}) rotate(-90)`;
    draw("text", { transform: side, "text-anchor": "middle" }, svg, of.yLabel);
    if (of.resolution) above(svg, at, xs[1]);
    for (const rule of of.rules ?? []) {
      draw("line", { class: "rule", x1: at.left, x2: at.right, y1: at.y(rule.y), y2: at.y(rule.y) }, svg);
      draw("text", { x: at.right + 5, y: at.y(rule.y) + 4 }, svg, rule.label);
    }
    return [svg, at];
  }
  function powers(low, high) {
    const found = [];
    for (let p = Math.floor(low); p <= high; p++) {
      for (const factor of high - low > 2 ? [1] : [1, 2, 5]) {
        const exponent = p + Math.log10(factor);
        if (exponent >= low && exponent <= high) found.push(factor * 10 ** p);
      }
    }
    return found;
  }
  function above(svg, at, highest) {
    let last = at.left;
    for (const a of RESOLUTIONS) {
      const x = at.x(1 / a);
      if (1 / a > highest || x - last < 34) continue;
      last = x;
      draw("line", { class: "axis", x1: x, x2: x, y1: at.top, y2: at.top - 5 }, svg);
      draw("text", { x, y: at.top - 9, "text-anchor": "middle" }, svg, short(a));
    }
    draw("text", { x: at.right, y: 12, "text-anchor": "end" }, svg, "Resolution (Å)");
  }

  function limits(of, shown) {
    const flat = (key) => shown.flatMap((s) => s[key].filter((v, i) => v !== null && (!of.log || s.y[i] > 0)));
    const x = flat("x"), y = flat("y");
    if (!x.length) return [[0, 1], [0, 1]];
    const least = (values) => values.reduce((a, b) => Math.min(a, b));
    const most = (values) => values.reduce((a, b) => Math.max(a, b));
    let low = least(y), high = of.yMax ?? most(y);
    if (of.log) return [[least(x), most(x)], [low / 1.15, high * 1.15]];
    if (of.rules) low = Math.min(low, 0);
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    return [[least(x), most(x) === least(x) ? least(x) + 1 : most(x)], [low - room, high + (of.yMax ? 0.02 : room)]];
  }

  function lines(box, of) {
    const holder = html("div", {}, box);
    const legend = html("div", { class: "legend", role: "group", "aria-label": "Curves" }, box);
    const reading = html("p", { class: "reading", "aria-live": "polite" }, box);
    const readings = of.series.map((series) => {
      const button = html("button", { type: "button", "aria-pressed": String(series.shown) }, legend);
      const sample = draw("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, button);
      const dash = series.dashed ? DASH : "none";
      const style = `stroke:var(--c${series.colour});stroke-width:2.5;stroke-dasharray:${dash}`;
      draw("line", { x1: 0, x2: 22, y1: 5, y2: 5, style }, sample);
      html("span", {}, button, series.name);
      const value = html("span", { class: "value" }, button);
      button.addEventListener("click", () => {
        series.shown = !series.shown;
        button.setAttribute("aria-pressed", String(series.shown));
        redraw();
      });
      return value;
    });
    let place = null;
    let show = () => {};

    function redraw() {
      const shown = of.series.filter((series) => series.shown);
      const [xs, ys] = limits(of, shown);
      const width = Math.max(280, Math.round(box.clientWidth));
      const [svg, at] = frame(box, of, width, xs, ys);
      // Curves are drawn from the last to the first, which lies on top.
      for (const series of shown.slice().reverse()) {
        let path = "", pen = "M";
        series.x.forEach((x, i) => {
          const y = series.y[i];
          if (x === null || y === null || (of.log && y <= 0)) { pen = "M"; return; }
          path += `${pen}${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`;
          pen = "L";
          if (of.points) {
            draw("circle", { cx: at.x(x), cy: at.y(y), r: 3, style: `fill:var(--c${series.colour})` }, svg);
          }
        });
        const style = `stroke:var(--c${series.colour});stroke-dasharray:${series.dashed ? DASH : "none"}`;
        draw("path", { class: "curve", d: path, style }, svg);
      }
      if (of.marker && of.marker.x <= xs[1]) {
        const x = at.x(of.marker.x);
        draw("line", { class: "mark", x1: x, x2: x, y1: at.bottom, y2: at.y(of.marker.y) }, svg);
        draw("path", { class: "mark", d: `M${x} ${at.bottom - 8}l-5 8h10z` }, svg);
        const end = x > (at.left + at.right) / 2;
        const label = { class: "mark-label", x: x + (end ? -8 : 8), y: at.bottom - 12, "text-anchor": end ? "end" : "start" };
        draw("text", label, svg, of.marker.label);
      }
      const hair = draw("line", { class: "hair", y1: at.top, y2: at.bottom, visibility: "hidden" }, svg);
      // The longest is read along: curves of fits that go on may still be empty.
      const grid = shown.reduce((longest, { x }) => (x.length > longest.length ? x : longest), []);
      show = () => {
        if (place === null || !grid.length) {
          hair.setAttribute("visibility", "hidden");
          reading.textContent = "";
          readings.forEach((value) => { value.textContent = ""; });
          return;
        }
        place = Math.min(place, grid.length - 1);
        const x = grid[place];
        hair.setAttribute("visibility", "visible");
        hair.setAttribute("x1", at.x(x));
        hair.setAttribute("x2", at.x(x));
        const angstrom = of.resolution && x > 0 ? ` (${(1 / x).toFixed(2)} Å)` : "";
        reading.textContent = `${of.xLabel.replace(/ \(.*/, "")} ${short(x)}${angstrom}`;
        of.series.forEach((series, i) => {
          const row = series.x === grid ? place : series.x.indexOf(x);
          readings[i].textContent = series.shown && row >= 0 ? exact(series.y[row] ?? null) : "";
        });
      };
      const nearest = (value) =>
        grid.reduce((best, x, i) => (Math.abs(x - value) < Math.abs(grid[best] - value) ? i : best), 0);
      svg.addEventListener("pointermove", (event) => {
        const bounds = svg.getBoundingClientRect();
        place = nearest(at.value(((event.clientX - bounds.left) / bounds.width) * at.width));
        show();
      });
      svg.addEventListener("pointerleave", () => { place = null; show(); });
      svg.addEventListener("blur", () => { place = null; show(); });
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        place = Math.min(grid.length - 1, Math.max(0, (place ?? (step > 0 ? -1 : grid.length)) + step));
        show();
      });
      const focused = holder.contains(document.activeElement), read = place;
      holder.replaceChildren(svg); // the old one loses the focus, and what was read with it
      if (focused) svg.focus();
      place = read;
      show();
      box.dataset.points = shown.reduce((sum, series) => sum + series.y.filter((y) => y !== null).length, 0);
    }
    return redraw;
  }

  function bars(box, of) {
    const holder = html("div", {}, box);
    const reading = html("p", { class: "reading", "aria-live": "polite" }, box);
    return () => {
      const width = Math.max(280, Math.round(box.clientWidth));
      const highest = of.counts.reduce((a, b) => Math.max(a, b), 1);
      const [svg, at] = frame(box, of, width, [of.edges[0], of.edges.at(-1)], [0, highest * 1.05]);
      const blocks = of.counts.map((count, i) => {
        const x = at.x(of.edges[i]), end = at.x(of.edges[i + 1]);
        const block = { class: "block", x, width: Math.max(end - x - 1, 0.5), y: at.y(count), height: at.bottom - at.y(count) };
        return draw("rect", block, svg);
      });
      let place = null;
      const show = () => {
        blocks.forEach((block, i) => block.classList.toggle("seen", i === place));
        const [low, high] = [of.edges[place], of.edges[place + 1]];
        reading.textContent = place === null ? "" : `${short(low)} to ${short(high)}: ${of.counts[place].toLocaleString("en")}`;
      };
      svg.addEventListener("pointermove", (event) => {
        const bounds = svg.getBoundingClientRect();
        const value = at.value(((event.clientX - bounds.left) / bounds.width) * at.width);
        const found = of.edges.findIndex((edge, i) => value >= edge && value < of.edges[i + 1]);
        place = found < 0 ? null : found;
        show();
      });
      const leave = () => { place = null; show(); };
      svg.addEventListener("pointerleave", leave);
      svg.addEventListener("blur", leave);
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        place = Math.min(blocks.length - 1, Math.max(0, (place ?? (step > 0 ? -1 : blocks.length)) + step));
        show();
      });
      holder.replaceChildren(svg);
      box.dataset.points = of.counts.reduce((a, b) => a + b, 0);
    };
  }

  /* Fills a box, now and whenever its width changes; returns what draws it again after its data changed. */
  function fill(box, of) {
    const redraw = of.kind === "bars" ? bars(box, of) : lines(box, of);
    let width = -1;
    new ResizeObserver(() => {
      if (box.clientWidth === width) return;
      width = box.clientWidth;
      redraw();
    }).observe(box);
    return redraw;
  }
  for (const box of document.querySelectorAll(".plot")) {
    if (REPORT[box.id]) fill(box, REPORT[box.id]);
  }
  return { draw, html, fill };
})();
