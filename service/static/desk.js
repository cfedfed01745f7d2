// Keys for the queue: the desk works without them.
"use strict";

const cards = [...document.querySelectorAll(".card")];
let current = -1;

function go(to) {
  if (!cards.length) return;
  current = Math.max(0, Math.min(cards.length - 1, to));
  cards[current].focus();
  cards[current].scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  if (event.key === "j") go(current + 1);
  else if (event.key === "k") go(current - 1);
  else if (current >= 0 && event.key === "a") cards[current].querySelector(".approve").click();
  else if (current >= 0 && event.key === "r") cards[current].querySelector(".reject").click();
});
