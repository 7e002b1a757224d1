// Two scatter plots of any columns of the rows, linked with the table and with each other.

const FRAME = { width: 520, height: 340, left: 62, right: 14, top: 12, bottom: 46 };
const NEAR = 16; // how far from a point the pointer still means it, in units of the frame
const KINDS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#777777"];

/** Round numbers that divide low..high into about five; powers of ten and their halves on a logarithmic axis. */
function ticks(low, high, logarithmic) {
  const found = [];
  if (logarithmic) {
    const steps = high / low > 1000 ? [1] : high / low > 30 ? [1, 3] : [1, 2, 5];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const step of steps) found.push(step * 10 ** power);
    }
  } else {
    const rough = (high - low) / 7, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(at);
  }
  return found.filter((at) => at >= low * (1 - Math.sign(low) * 1e-9) - 1e-12 && at <= high + Math.abs(high) * 1e-9);
}

/** A column as an axis: place maps a value to 0..1, marks are [place, text]. */
function axisOf(column) {
  if (column.levels) {
    const n = column.levels.length;
    const every = Math.ceil(n / 12);
    const cut = (text) => (text.length > 16 ? `…${text.slice(-15)}` : text);
    const marks = column.levels.map((text, i) => [(i + 0.5) / n, cut(text)]).filter((_, i) => i % every === 0);
    return { name: column.name, place: (value) => (value + 0.5) / n, marks };
  }
  const values = column.values.filter((value) => value !== null);
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const logarithmic = low > 0 && high / low > 20;
  const scale = logarithmic ? Math.log : (value) => value;
  const room = 0.05 * (scale(high) - scale(low)) || 0.5 * Math.abs(scale(high)) || 0.5;
  const from = scale(low) - room, to = scale(high) + room;
  const place = (value) => (scale(value) - from) / (to - from);
  const ends = logarithmic ? [Math.exp(from), Math.exp(to)] : [from, to];
  const marks = ticks(ends[0], ends[1], logarithmic).map((at) => [place(at), short(Number(at.toPrecision(10)))]);
  return { name: column.name + (logarithmic ? " (logarithmic)" : ""), place, marks, low, high };
}

/** row -> colour, and a legend that says which is which. */
function colouring(column, colours) {
  if (!column) return { of: () => "var(--blue)", legend: [] };
  if (column.levels) {
    const dot = (i) => make("span", { class: "dot", style: `background: ${KINDS[i % KINDS.length]}` });
    const shown = column.levels.slice(0, KINDS.length).map((text, i) => make("span", {}, dot(i), text));
    const more = column.levels.length > KINDS.length ? [make("span", { class: "soft" }, "… colours repeat")] : [];
    return { of: (row) => KINDS[column.values[row] % KINDS.length] || "var(--soft)", legend: [...shown, ...more] };
  }
  const { low, high } = axisOf(column);
  const at = (value) => css(colours[Math.round((255 * (value - low)) / (high - low || 1))]);
  const stops = [0, 64, 128, 192, 255].map((i) => css(colours[i])).join(", ");
  const bar = make("span", { class: "ramp", style: `background: linear-gradient(to right, ${stops})` });
  const of = (row) => (column.values[row] === null ? "var(--soft)" : at(column.values[row]));
  return { of, legend: [make("span", {}, short(low)), bar, make("span", {}, short(high))] };
}

function showPlot(asked, colours, said) {
  const by = Object.fromEntries(points.columns.map((column) => [column.key, column]));
  const axes = { ...asked };
  const picture = draw("svg", { viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, tabindex: 0, role: "application" });
  picture.setAttribute("aria-roledescription", "scatter plot");
  const tip = make("div", { class: "tip", hidden: "" });
  const legend = make("div", { class: "legend" });
  const ring = draw("circle", { r: 9, class: "ring" });
  const halo = draw("circle", { r: 7, class: "halo" });
  let spots = [], near = -1, picked = null, left = null;

  function redraw() {
    const x = axisOf(by[axes.x]), y = axisOf(by[axes.y]), colour = colouring(by[axes.colour], colours);
    const across = FRAME.width - FRAME.left - FRAME.right, down = FRAME.height - FRAME.top - FRAME.bottom;
    const right = (share) => FRAME.left + share * across, high = (share) => FRAME.top + (1 - share) * down;
    const parts = [];
    for (const [share, text] of x.marks) {
      parts.push(draw("line", { x1: right(share), x2: right(share), y1: FRAME.top, y2: FRAME.top + down, class: "grid" }));
      parts.push(draw("text", { x: right(share), y: FRAME.top + down + 16, "text-anchor": "middle" }, text));
    }
    for (const [share, text] of y.marks) {
      parts.push(draw("line", { x1: FRAME.left, x2: FRAME.left + across, y1: high(share), y2: high(share), class: "grid" }));
      parts.push(draw("text", { x: FRAME.left - 6, y: high(share) + 4, "text-anchor": "end" }, text));
    }
    parts.push(draw("text", { x: right(0.5), y: FRAME.height - 8, "text-anchor": "middle", class: "name" }, x.name));
    const turn = `rotate(-90 14 ${high(0.5)})`;
    parts.push(draw("text", { x: 14, y: high(0.5), "text-anchor": "middle", class: "name", transform: turn }, y.name));
    spots = [];
    const faint = [], strong = [], byLabel = [], selected = [];
    for (let row = 0; row < points.count; row += 1) {
      const u = by[axes.x].values[row], v = by[axes.y].values[row];
      if (u === null || v === null) continue;
      const at = { row, x: right(x.place(u)), y: high(y.place(v)) };
      if (left && !left.has(row)) {
        faint.push(draw("circle", { cx: at.x, cy: at.y, r: 3, class: "faint" }));
        continue;
      }
      spots.push(at);
      const mark = markOf(row)[0];
      const sign = (kind) => draw("text", { x: at.x, y: at.y + 6, "text-anchor": "middle", class: `sign ${kind}` }, mark);
      if (mark === "★") selected.push(sign("selected"));
      else if (mark) byLabel.push(sign("by-label"));
      else strong.push(draw("circle", { cx: at.x, cy: at.y, r: 4.5, fill: colour.of(row), class: "spot" }));
    }
    picture.replaceChildren(...parts, ...faint, ...strong, ...byLabel, ...selected, halo, ring);
    const says = `${y.name} over ${x.name}, ${spots.length} points. Arrow keys go from point to point, Enter selects.`;
    picture.setAttribute("aria-label", says);
    const name = by[axes.colour] ? [make("span", {}, `${by[axes.colour].name}: `)] : [];
    const signs = points.byLabel.length ? "★ selected ◆ best by label" : points.selected.length ? "★ selected" : "";
    legend.replaceChildren(...name, ...colour.legend, make("span", { class: "soft" }, signs));
    near = -1;
    tip.hidden = true;
    rings();
  }

  function rings() {
    for (const [circle, at] of [[halo, spots[near]], [ring, spots.find((spot) => spot.row === picked)]]) {
      circle.style.display = at ? "" : "none";
      if (at) {
        circle.setAttribute("cx", at.x);
        circle.setAttribute("cy", at.y);
      }
    }
  }

  function look(at, aloud) {
    near = at;
    rings();
    tip.hidden = near < 0;
    if (near < 0) return;
    const { row, x, y } = spots[near];
    tip.textContent = described(row, points.told.concat([axes.x, axes.y, axes.colour]));
    tip.style.left = `${(100 * Math.min(x, FRAME.width * 0.6)) / FRAME.width}%`;
    tip.style.top = y > FRAME.height / 2 ? "" : `${(100 * (y + 12)) / FRAME.height}%`;
    tip.style.bottom = y > FRAME.height / 2 ? `${(100 * (FRAME.height - y + 12)) / FRAME.height}%` : "";
    if (aloud) said.textContent = tip.textContent;
  }

  function nearest(event) {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * FRAME.width;
    const y = ((event.clientY - box.top) / box.height) * FRAME.height;
    let best = -1, least = NEAR ** 2;
    spots.forEach((spot, i) => {
      const far = (spot.x - x) ** 2 + (spot.y - y) ** 2;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  picture.addEventListener("pointermove", (event) => look(nearest(event), false));
  picture.addEventListener("pointerleave", () => look(-1, false));
  picture.addEventListener("click", (event) => {
    const at = nearest(event);
    if (at >= 0) tell("pick", spots[at].row);
  });
  picture.addEventListener("keydown", (event) => {
    const along = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] }[event.key];
    if (along && spots.length) {
      event.preventDefault();
      const [axis, sign] = along, other = axis === "x" ? "y" : "x";
      const ranked = spots.map((_, i) => i).sort((a, b) => spots[a][axis] - spots[b][axis] || spots[a][other] - spots[b][other]);
      const own = near >= 0 ? near : spots.findIndex((spot) => spot.row === picked);
      const at = own < 0 ? 0 : Math.min(Math.max(ranked.indexOf(own) + sign, 0), ranked.length - 1);
      look(ranked[at], true);
    } else if ((event.key === "Enter" || event.key === " ") && near >= 0) {
      event.preventDefault();
      tell("pick", spots[near].row);
    } else if (event.key === "Escape") look(-1, false);
  });
  picture.addEventListener("blur", () => look(-1, false));
  page.addEventListener("pick", ({ detail }) => {
    picked = detail;
    rings();
  });
  page.addEventListener("filter", ({ detail }) => {
    left = detail.length < points.count ? new Set(detail) : null;
    redraw();
  });

  const names = points.columns.map((column) => [column.key, column.name]);
  const set = (name) => (value) => {
    axes[name] = value;
    redraw();
  };
  const bar = make("div", { class: "bar" }, choice("across", names, axes.x, set("x")),
    choice("up", names, axes.y, set("y")), choice("colour", [["", "one"], ...names], axes.colour, set("colour")));
  redraw();
  return make("div", { class: "plot" }, bar, make("div", { class: "stage" }, picture, tip), legend);
}

function showPlots(place) {
  const said = make("p", { class: "soft said-point", "aria-live": "polite" },
    "Point at a spot, or walk over them with the arrow keys; a click or Enter selects it here and in the table.");
  page.addEventListener("pick", ({ detail }) => { said.textContent = `Selected ${described(detail)}`; });
  const colours = palette(points.colours);
  place.replaceChildren(make("div", { class: "plots" }, ...points.plots.map((axes) => showPlot(axes, colours, said))), said);
}
