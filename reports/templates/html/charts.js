"use strict";
// Small charts as SVG, drawn when a cell is opened. Everything written into them is text, never markup.
const charts = (() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const WIDTH = 304, HEIGHT = 210, LEFT = 44, RIGHT = 10, TOP = 8, BOTTOM = 36;
  // Okabe and Ito's colours, which people with any colour vision tell apart; dashes tell them apart in print.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#444444"];
  const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

  const draw = (name, attributes, text) => {
    const made = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const short = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
  };

  const ticks = (low, high) => {
    const step = 10 ** Math.floor(Math.log10((high - low) / 2));
    const every = [1, 2, 5, 10].map((f) => f * step).find((s) => (high - low) / s <= 5) || high - low;
    const found = [];
    for (let at = Math.ceil(low / every) * every; at <= high + every * 1e-9; at += every) {
      found.push(Math.abs(at) < every * 1e-9 ? 0 : at);
    }
    return found;
  };

  const frame = (title, xName, yName, [x0, x1], [y0, y1]) => {
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
    const x = (value) => LEFT + ((value - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0 || 1)) * (HEIGHT - TOP - BOTTOM);
    for (const at of ticks(y0, y1)) {
      svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at) }));
      svg.append(draw("text", { x: LEFT - 5, y: y(at) + 4, "text-anchor": "end" }, short(at)));
    }
    for (const at of ticks(x0, x1)) {
      svg.append(draw("text", { x: x(at), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, short(at)));
    }
    svg.append(draw("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }));
    svg.append(draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, xName));
    if (yName) {
      svg.append(draw("text", { x: 0, y: 0, transform: `translate(10 ${TOP}) rotate(-90)`, "text-anchor": "end" }, yName));
    }
    return { svg, x, y };
  };

  const figure = (title, svg) => {
    const made = document.createElement("figure");
    made.className = "chart";
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    made.append(caption, svg);
    return made;
  };

  const range = (values) => {
    const kept = values.filter((value) => Number.isFinite(value));
    if (!kept.length) return null;
    const low = kept.reduce((a, b) => Math.min(a, b)), high = kept.reduce((a, b) => Math.max(a, b));
    const margin = high > low ? (high - low) * 0.04 : Math.abs(high) * 0.1 || 1;
    return [low - margin, high + margin];
  };

  const style = (number) => ({ stroke: COLOURS[number % COLOURS.length], "stroke-dasharray": DASHES[number % DASHES.length] });

  // lines: [{x: [...], y: [...], style: number}]; a gap (null) in y parts a line.
  const lines = (title, xName, yName, given, limits) => {
    const xs = limits ? limits.x : range(given.flatMap((line) => line.x));
    const ys = limits ? limits.y : range(given.flatMap((line) => line.y));
    if (!xs || !ys) return null;
    const { svg, x, y } = frame(title, xName, yName, xs, ys);
    if (limits && limits.chance) {
      svg.append(draw("line", { class: "chance", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
    }
    for (const line of given) {
      let path = "", pen = "M";
      line.x.forEach((at, index) => {
        const value = line.y[index];
        if (!Number.isFinite(value)) { pen = "M"; return; }
        path += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = "L";
      });
      svg.append(draw("path", { class: "line", d: path, ...style(line.style) }));
    }
    return figure(title, svg);
  };

  // Shares of each class in the same bins, as two outlines, filled lightly.
  const histogram = (title, [low, high, normal, anomalous]) => {
    const share = (counts) => {
      const all = counts.reduce((a, b) => a + b, 0) || 1;
      return counts.map((count) => count / all);
    };
    const shares = [share(normal), share(anomalous)];
    const top = Math.max(...shares.flat()) * 1.05;
    const { svg, x, y } = frame(title, "score", "share", [low, high], [0, top]);
    shares.forEach((one, number) => {
      const width = (high - low) / one.length;
      let path = `M${x(low).toFixed(1)} ${y(0).toFixed(1)}`;
      one.forEach((value, bin) => {
        path += `V${y(value).toFixed(1)}H${x(low + (bin + 1) * width).toFixed(1)}`;
      });
      path += `V${y(0).toFixed(1)}`;
      svg.append(draw("path", { class: "area", d: path, ...style(number), fill: COLOURS[number] }));
    });
    return figure(title, svg);
  };

  const legend = (names) => {
    const list = document.createElement("ul");
    list.className = "keys";
    names.forEach((name, number) => {
      const item = document.createElement("li");
      const sample = draw("svg", { viewBox: "0 0 14 10", "aria-hidden": "true" });
      sample.append(draw("path", { class: "line", d: "M0 5H14", "stroke-width": 2, fill: "none", ...style(number) }));
      item.append(sample, name);
      list.append(item);
    });
    return list;
  };

  return { lines, histogram, legend };
})();
