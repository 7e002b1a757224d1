// The table of all points: sorted, filtered, a page at a time, so that ten thousand rows cost no more than fifty.

const points = embedded("points");

/** The value of a row in a column: a number, a word, or null. */
function valueOf(column, row) {
  const value = column.values[row];
  return value === null || !column.levels ? value : column.levels[value];
}

function textOf(column, row) {
  const value = valueOf(column, row);
  if (value === null) return "–";
  if (column.levels) return value;
  return column.decimals === null ? short(value) : value.toFixed(column.decimals);
}

function markOf(row) {
  return points.selected.includes(row) ? "★ selected" : points.byLabel.includes(row) ? "◆ best by label" : "";
}

/** What a row is, in a line: its settings and figures. */
function described(row, names = null) {
  const columns = names ? points.columns.filter((column) => names.includes(column.key)) : points.columns;
  const said = columns.map((column) => `${column.name} ${textOf(column, row)}`).join(", ");
  return `point ${row + 1}${markOf(row) && ` ${markOf(row)}`}: ${said}`;
}

/** "w>=3 dpm2m" -> a test of rows; raises Error where a column is unknown or the same in every row. A term that ends
    in a sign of comparison is still being written, and holds for all. */
function filterOf(text) {
  const plain = (name) => name.toLowerCase().replace(/\s/g, "");
  const named = (columns, name) => columns.find((one) => [one.key, one.name].map(plain).includes(plain(name)));
  const terms = text.trim().split(/\s+/).filter((term) => term && !/^[^<>=!]+[<>=!]+$/.test(term));
  const tests = terms.map((term) => {
    const [, name, sign, asked] = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/.exec(term) || [];
    if (!sign) {
      const word = term.toLowerCase();
      const cells = (row) => [markOf(row), ...points.columns.map((column) => textOf(column, row))];
      return (row) => cells(row).some((cell) => cell.toLowerCase().includes(word));
    }
    const column = named(points.columns, name);
    const agreed = column ? null : named(points.agreed, name);
    if (agreed) throw new Error(`${name} is ${agreed.text} in every row.`);
    if (!column) throw new Error(`No column is called ${name}.`);
    const number = Number(asked);
    if (!column.levels && Number.isNaN(number)) throw new Error(`${name} is compared with a number.`);
    const against = column.levels ? asked.toLowerCase() : number;
    const holds = { "<": (d) => d < 0, ">": (d) => d > 0, "<=": (d) => d <= 0, ">=": (d) => d >= 0,
      "=": (d) => d === 0, "!=": (d) => d !== 0 }[sign];
    return (row) => {
      const value = valueOf(column, row);
      if (value === null) return false;
      if (column.levels) return holds(order(value.toLowerCase(), against, 1));
      // A number is found by what the cell shows of it, too: nobody sees the digits that were cut off.
      const same = Number(textOf(column, row)) === against;
      return holds(same ? 0 : value - against);
    };
  });
  return (row) => tests.every((test) => test(row));
}

function showTable(place) {
  const every = [...new Set([...points.selected, ...points.byLabel, ...Array(points.count).keys()])];
  let rows = every, sorted = null, first = 0, size = 50, picked = null;

  const filter = make("input", { type: "search", placeholder: "w>=3 steps=5", spellcheck: "false", id: "points-filter",
    "aria-describedby": "points-help" });
  const count = make("span", { class: "soft", role: "status", id: "points-count" });
  const body = make("tbody");
  const number = { key: "point", name: "point", values: every.slice().sort((a, b) => a - b), decimals: 0 };
  const heads = [number, ...points.columns].map((column) => {
    const button = make("button", { type: "button", title: column.key }, column.name);
    const head = make("th", { scope: "col", class: column.levels || column === number ? null : "num" }, button);
    button.addEventListener("click", () => {
      sorted = { column, sign: turned(head) };
      first = 0;
      refresh();
    });
    return head;
  });
  const table = make("table", { class: "points picked" }, make("thead", {}, make("tr", {}, ...heads)), body);
  const scroll = make("div", { class: "scroll", role: "region", "aria-label": "All points", tabindex: "0" }, table);
  const back = make("button", { type: "button" }, "← previous");
  const on = make("button", { type: "button" }, "next →");
  back.addEventListener("click", () => { first = Math.max(0, first - size); fill(); });
  on.addEventListener("click", () => { first += size; fill(); });
  const sizes = choice("rows", [25, 50, 100, 500].map((n) => [n, n]), size, (value) => {
    size = Number(value);
    first = 0;
    fill();
  });

  function refresh() {
    let test;
    try {
      test = filterOf(filter.value);
      filter.setCustomValidity("");
    } catch (error) {
      filter.setCustomValidity(error.message);
      count.textContent = error.message;
      return;
    }
    rows = every.filter(test);
    if (sorted) {
      const value = (row) => (sorted.column === number ? row : valueOf(sorted.column, row));
      rows = rows.map((row) => [row, value(row)]).sort((a, b) => order(a[1], b[1], sorted.sign)).map(([row]) => row);
    }
    first = Math.min(first, Math.max(0, rows.length - 1));
    fill();
    tell("filter", rows);
  }

  function fill() {
    first -= first % size;
    const own = rows.slice(first, first + size);
    body.replaceChildren(...own.map(line));
    const buttons = body.querySelectorAll("th button");
    tabStop(buttons, body.querySelector('[aria-pressed="true"]') || buttons[0]);
    count.textContent = rows.length
      ? `${first + 1} to ${first + own.length} of ${rows.length}${rows.length < every.length ? ` (${every.length} in all)` : ""}`
      : `No point is left of ${every.length}.`;
    back.disabled = first === 0;
    on.disabled = first + size >= rows.length;
  }

  function line(row) {
    const kind = points.selected.includes(row) ? "selected" : points.byLabel.includes(row) ? "by-label" : null;
    const name = make("button", { type: "button", "aria-pressed": String(row === picked) }, `${row + 1} ${markOf(row)}`.trim());
    const cells = points.columns.map((column) =>
      make("td", { class: column.levels ? null : "num" }, textOf(column, row)));
    const made = make("tr", { class: kind, "data-row": row }, make("th", { scope: "row", class: "mark" }, name), ...cells);
    made.addEventListener("click", () => tell("pick", row));
    return made;
  }

  body.addEventListener("keydown", (event) => {
    const buttons = Array.from(body.querySelectorAll("th button"));
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    tabStop(buttons, buttons[to]);
    buttons[to].focus();
  });
  page.addEventListener("pick", ({ detail }) => {
    picked = detail;
    const at = rows.indexOf(picked);
    if (at >= 0 && (at < first || at >= first + size)) {
      first = at;
      fill();
    }
    const buttons = body.querySelectorAll("th button");
    for (const button of buttons) {
      const own = Number(button.closest("tr").dataset.row) === picked;
      button.setAttribute("aria-pressed", String(own));
      if (own) {
        tabStop(buttons, button);
        // Inside the table alone: the page stays where the reader is.
        const line = button.closest("tr");
        const up = line.offsetTop - table.tHead.offsetHeight;
        const hidden = up < scroll.scrollTop || line.offsetTop + line.offsetHeight > scroll.scrollTop + scroll.clientHeight;
        if (hidden) scroll.scrollTop = up - scroll.clientHeight / 3;
      }
    }
  });
  let waiting = null;
  filter.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 120);
  });

  const help = make("p", { class: "soft", id: "points-help" }, `A filter is words and comparisons, such as “w>=3 ` +
    `steps=5”: all of them hold for the rows that are left. Choose a heading to sort, a row to find it in the plots.`);
  const same = make("details", {}, make("summary", {}, "The same in every row"), make("p", { class: "soft" }, points.same));
  const bar = make("div", { class: "bar" }, make("label", {}, "filter ", filter), back, on, sizes, count);
  place.replaceChildren(help, bar, scroll, ...(points.same ? [same] : []));
  refresh();
}
