"use strict";
// Sorting: the button in a column's head sorts the rows of each group; once more turns the order round, a third
// time gives the order of the table back. Cells without a value stay last either way.
(() => {
  const start = new WeakMap();

  const key = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.sort;
    if (number !== undefined) return Number(number);
    return cell.classList.contains("num") ? null : cell.textContent.trim();
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });

  const sort = (table, head) => {
    const column = head.cellIndex;
    const numeric = head.classList.contains("num");
    const order = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    const next = order[order.indexOf(head.getAttribute("aria-sort")) + 1];
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    if (next) head.setAttribute("aria-sort", next);
    const sign = next === "descending" ? -1 : 1;
    for (const body of table.tBodies) {
      const rows = [...body.rows];
      if (!start.has(body)) start.set(body, rows);
      const original = start.get(body);
      const fixed = original.filter((row) => row.classList.contains("group"));
      const free = original.filter((row) => !row.classList.contains("group"));
      if (next) {
        const keyed = free.map((row) => [key(row, column), row]);
        keyed.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * compare(a, b);
        });
        body.append(...fixed, ...keyed.map(([, row]) => row));
      } else {
        body.append(...fixed, ...free);
      }
    }
  };

  for (const button of document.querySelectorAll("table.results .sort")) {
    button.addEventListener("click", () => sort(button.closest("table"), button.closest("th")));
  }
})();
