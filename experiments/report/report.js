"use strict";
// Click or Enter on a column's head sorts by it, again the other way round; undefined values stay last.
for (const head of document.querySelectorAll("table.points thead th")) {
  head.querySelector("button").addEventListener("click", () => {
    const table = head.closest("table");
    const body = table.tBodies[0];
    const column = head.cellIndex;
    const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => row.cells[column].dataset.v;
    const rows = Array.from(body.rows).map((row) => {
      const text = key(row);
      const number = text === undefined || text === "" ? NaN : Number(text);
      return { row, number, text: row.cells[column].textContent, none: text === "" };
    });
    rows.sort((a, b) => {
      if (a.none !== b.none) return a.none ? 1 : -1;
      if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
      return sign * a.text.localeCompare(b.text, undefined, { numeric: true });
    });
    body.append(...rows.map((item) => item.row));
  });
}
