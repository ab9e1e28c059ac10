"use strict";
// Rows are sorted within their part of a table, so that published ones never mix with measured.
document.querySelectorAll("th[data-says]").forEach(function (head) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.title = "Sort by " + head.dataset.says;
  head.replaceChildren(button);
  button.addEventListener("click", function () {
    const first = head.dataset.first || "descending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const table = head.closest("table");
    table.querySelectorAll("th[aria-sort]").forEach(function (one) { one.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", order);
    const column = Number(head.dataset.column);
    const sign = order === "descending" ? -1 : 1;
    for (const body of table.tBodies) {
      const rows = Array.from(body.rows).filter(function (row) { return !row.classList.contains("group"); });
      rows.sort(function (a, b) {
        const left = a.cells[column], right = b.cells[column];
        // What is missing stays last either way.
        if ("missing" in left.dataset || "missing" in right.dataset) {
          return ("missing" in left.dataset) - ("missing" in right.dataset);
        }
        if ("value" in left.dataset && "value" in right.dataset) {
          return sign * (Number(left.dataset.value) - Number(right.dataset.value));
        }
        return sign * left.dataset.text.localeCompare(right.dataset.text, "en");
      });
      body.append(...rows);
    }
  });
});
const controls = document.getElementById("controls");
if (controls) {
  const text = document.getElementById("filter"), hide = document.getElementById("hide-suspect");
  const made = document.getElementById("made"), protocol = document.getElementById("protocol");
  const shown = document.getElementById("shown");
  const rows = Array.from(document.querySelectorAll("tr[data-search]"));
  const update = function () {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach(function (row) {
      const found = words.every(function (word) { return row.dataset.search.includes(word); });
      row.hidden = !found || (hide.checked && row.dataset.status === "suspect") ||
        (made.value && row.dataset.made && row.dataset.made !== made.value) ||
        // What has none is the same under both.
        (protocol.value && row.dataset.protocol && row.dataset.protocol !== protocol.value);
      count += row.hidden ? 0 : 1;
    });
    document.querySelectorAll("tbody").forEach(function (body) {
      const own = Array.from(body.querySelectorAll("tr[data-search]"));
      body.hidden = own.length > 0 && own.every(function (row) { return row.hidden; });
    });
    document.querySelectorAll(".block").forEach(function (block) {
      const own = Array.from(block.querySelectorAll("tr[data-search]"));
      block.hidden = own.length > 0 && own.every(function (row) { return row.hidden; });
    });
    shown.textContent = count + " of " + rows.length + " rows shown";
  };
  text.addEventListener("input", update);
  hide.addEventListener("change", update);
  made.addEventListener("change", update);
  protocol.addEventListener("change", update);
  controls.hidden = false;
  update();
}
