(function () {
  "use strict";
  var PAGE = 100;
  var order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function make(tag, attributes, text) {
    var element = document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    if (text !== undefined) { element.textContent = text; }
    return element;
  }

  function valueOf(cell) {
    return cell.hasAttribute("data-v") ? cell.getAttribute("data-v") : cell.textContent.trim();
  }

  function compare(one, other) {
    var a = Number(one), b = Number(other);
    return one !== "" && other !== "" && !isNaN(a) && !isNaN(b) ? a - b : order.compare(one, other);
  }

  // Heads become buttons; sort(column, direction) does the work.
  function sortable(table, sort) {
    var heads = table.tHead.rows[0].cells;
    Array.prototype.forEach.call(heads, function (head, column) {
      var button = make("button", { type: "button" }, head.textContent);
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(column, up ? 1 : -1);
      });
    });
  }

  // Every word must be somewhere in the text.
  function holds(text, words) {
    return words.split(/\s+/).every(function (word) { return text.indexOf(word) >= 0; });
  }

  function filterBox(what, filter, hint) {
    var tools = make("div", { "class": "tools" });
    var label = make("label", {}, "Filter ");
    var input = make("input", { type: "search", placeholder: hint || "words in any cell", "aria-label": "Filter " + what });
    var told = make("output", { "aria-live": "polite" });
    label.appendChild(input);
    tools.appendChild(label);
    tools.appendChild(told);
    input.addEventListener("input", function () { told.textContent = filter(input.value.trim().toLowerCase()); });
    return tools;
  }

  function nameOf(table) { return table.caption ? table.caption.textContent.toLowerCase() : "table"; }

  function enhance(table) {
    var body = table.tBodies[0];
    if (table.classList.contains("sortable")) {
      sortable(table, function (column, direction) {
        var rows = Array.prototype.slice.call(body.rows);
        rows.sort(function (a, b) { return direction * compare(valueOf(a.cells[column]), valueOf(b.cells[column])); });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    }
    if (table.classList.contains("filter") && body.rows.length > 5) {
      table.parentNode.parentNode.insertBefore(filterBox(nameOf(table), function (text) {
        var shown = 0;
        Array.prototype.forEach.call(body.rows, function (row) {
          row.hidden = !holds(row.textContent.toLowerCase(), text);
          shown += row.hidden ? 0 : 1;
        });
        return text === "" ? "" : shown + " of " + body.rows.length;
      }), table.parentNode);
    }
  }

  function enhanceAll(root) { Array.prototype.forEach.call(root.querySelectorAll("table.sortable"), enhance); }

  // A closed node's content is text until it is opened: its markup is in a noscript, escaped when it was written.
  function fill(details) {
    var text = details.querySelector(":scope > noscript");
    if (!text) { return; }
    var holder = document.createElement("template");
    holder.innerHTML = text.textContent;
    enhanceAll(holder.content);
    details.replaceChild(holder.content, text);
  }

  // All guests: only the rows of the page that is looked at are in the document.
  function allGuests() {
    var place = document.getElementById("all-guests");
    if (!place) { return; }
    var guests = JSON.parse(document.getElementById("guests-data").textContent);
    if (!guests.length) { place.textContent = "None."; return; }
    var texts = guests.map(function (row) { return row.slice(0, 11).join("\n").toLowerCase(); });
    var found = guests.map(function (_row, number) { return number; });
    var first = 0;
    var scroll = make("div", { "class": "scroll", tabindex: "0", role: "region", "aria-label": "All guests" });
    var table = make("table", { id: "t-guests" });
    table.appendChild(make("caption", {}, "Guests of all nodes"));
    var head = table.createTHead().insertRow();
    ["Guest", "Node", "Own CPUs", "State", "Shared CPUs", "Memory", "Ports", "Owner", "Project", "Class", "Since"].forEach(function (title) {
      head.appendChild(make("th", { scope: "col" }, title));
    });
    var body = table.createTBody();
    var pager = make("div", { "class": "tools" });
    var back = make("button", { type: "button" }, "Back"), next = make("button", { type: "button" }, "Next"), told = make("output", {});
    [back, next, told].forEach(function (item) { pager.appendChild(item); });

    function show() {
      body.textContent = "";
      found.slice(first, first + PAGE).forEach(function (number) {
        var guest = guests[number], row = body.insertRow();
        guest.slice(0, 11).forEach(function (value, column) {
          var cell = row.appendChild(make(column ? "td" : "th", column ? {} : { scope: "row" }));
          if (column === 1) { cell.appendChild(make("a", { href: "#" + guest[12] }, value)); } else { cell.textContent = value === "" ? "–" : value; }
        });
      });
      var last = Math.min(first + PAGE, found.length);
      told.textContent = found.length ? (first + 1) + "–" + last + " of " + found.length : "none";
      back.disabled = first === 0;
      next.disabled = last >= found.length;
      pager.hidden = guests.length <= PAGE;
    }

    back.addEventListener("click", function () { first -= PAGE; show(); });
    next.addEventListener("click", function () { first += PAGE; show(); });
    sortable(table, function (column, direction) {
      var key = column === 5 ? 11 : column;
      found.sort(function (a, b) { return direction * compare(String(guests[a][key]), String(guests[b][key])); });
      first = 0;
      show();
    });
    place.textContent = "";
    place.appendChild(filterBox("guests", function (text) {
      found = [];
      texts.forEach(function (words, number) { if (holds(words, text)) { found.push(number); } });
      first = 0;
      show();
      return text === "" ? "" : found.length + " of " + guests.length;
    }));
    scroll.appendChild(table);
    place.appendChild(scroll);
    place.appendChild(pager);
    show();
  }

  function nodes() { return Array.prototype.slice.call(document.querySelectorAll("details.node")); }

  function openTarget() {
    var target = document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { fill(target); target.open = true; target.scrollIntoView(); }
  }

  // Filter of the list of nodes, and all of them opened at once where they are few.
  function nodeTools() {
    var all = nodes();
    if (all.length < 2) { return; }
    var tools = filterBox("nodes by name", function (text) {
      var shown = 0;
      all.forEach(function (details) {
        details.hidden = !holds(details.querySelector("summary").textContent.toLowerCase(), text);
        shown += details.hidden ? 0 : 1;
      });
      return text === "" ? "" : shown + " of " + all.length;
    }, "name or state");
    [["Open all", true], ["Close all", false]].forEach(function (item) {
      var button = make("button", { type: "button" }, item[0]);
      button.addEventListener("click", function () {
        all.forEach(function (details) { if (!details.hidden) { if (item[1]) { fill(details); } details.open = item[1]; } });
      });
      tools.appendChild(button);
    });
    all[0].parentNode.insertBefore(tools, all[0]);
  }

  enhanceAll(document);
  allGuests();
  nodeTools();
  nodes().forEach(function (details) {
    details.addEventListener("toggle", function () { if (details.open) { fill(details); } });
  });
  window.addEventListener("hashchange", openTarget);
  if (location.hash) { openTarget(); }
}());
