// Static tables: click or Enter on a column's head sorts by it, again the other way round; undefined values stay last.

/** Which of two values comes first: numbers by size, the rest as text, null last; sign: 1 rising, -1 falling. */
function order(a, b, sign) {
  if ((a === null) !== (b === null)) return a === null ? 1 : -1;
  if (a === null) return 0;
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** Mark a heading as the one that is sorted by, the other way round than before; 1 for rising, -1 for falling. */
function turned(head) {
  const now = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", now);
  return now === "ascending" ? 1 : -1;
}

for (const button of document.querySelectorAll("table.points thead th button")) {
  const head = button.closest("th");
  button.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const sign = turned(head);
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      const number = cell.dataset.v;
      return number === undefined ? cell.textContent : number === "" ? null : Number(number);
    };
    const rows = Array.from(body.rows, (row) => [row, value(row)]);
    rows.sort((a, b) => order(a[1], b[1], sign));
    body.append(...rows.map(([row]) => row));
  });
}
