"use strict";

const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

/* Tables: they sort by a click on a heading, the largest numbers first, and download as CSV. */

const content = (cell) => cell.dataset.value ?? cell.textContent;

function sort(table, column, heading) {
  const sorted = heading.getAttribute("aria-sort");
  const ascending = sorted ? sorted === "descending" : !heading.classList.contains("number");
  for (const other of all("th", table)) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const order = ascending ? 1 : -1;
  const compared = (a, b) => {
    const [first, second] = [content(a.cells[column]), content(b.cells[column])];
    const difference = Number(first) - Number(second);
    return order * (Number.isNaN(difference) ? first.localeCompare(second, undefined, { numeric: true }) : difference);
  };
  body.append(...[...body.rows].sort(compared));
}

/* A spreadsheet takes text that begins like these for a formula. */
function quoted(text) {
  const formula = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text));
  return `"${(formula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function csv(table) {
  const rows = [[...table.tHead.rows[0].cells].map((cell) => cell.textContent)];
  for (const row of table.tBodies[0].rows) rows.push([...row.cells].map(content));
  const columns = all("th", table).length;
  return rows.map((row) => row.slice(0, columns).map(quoted).join(",")).join("\r\n") + "\r\n";
}

for (const table of all("table")) {
  all("th", table).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sort(table, column, heading));
    heading.replaceChildren(button);
  });
}

for (const button of all("[data-csv]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const table = button.closest(".table").querySelector("table");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(table)], { type: "text/csv" }));
    link.download = `${table.dataset.file.replace(/[^\w.-]+/g, "-")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
