// The demo's page works without this script. With it, messages appear in place and comments appear by themselves.
"use strict";

const discussion = document.getElementById("discussion");
const form = document.getElementById("reply");
const answering = form.querySelector(".answering");
// A verdict takes well under a second, so a waiting reader is shown it soon; an idle page asks seldom.
const WAITING_MS = 500, IDLE_MS = 4000;
let timer;

async function refresh() {
  clearTimeout(timer);
  try {
    const answer = await fetch(discussion.dataset.address, { cache: "no-cache" });
    if (answer.ok) {
      const html = await answer.text();
      if (html !== refresh.shown) {
        discussion.innerHTML = refresh.shown = html;
        offerReplies();
      }
    }
  } catch { /* The network is away; the next round asks again. */ }
  const waits = discussion.querySelector(".waits");
  timer = setTimeout(refresh, waits && !document.hidden ? WAITING_MS : IDLE_MS);
}

function offerReplies() {
  for (const button of discussion.querySelectorAll("[data-reply-to]")) button.hidden = false;
}

function answer(id, name) {
  form.elements.parent_id.value = id;
  answering.hidden = !id;
  answering.querySelector("b").textContent = name;
  if (id) form.elements.comment.focus();
}

function showErrors(errors) {
  for (const place of form.querySelectorAll("[data-error-for]")) {
    const error = errors.find((each) => each.field === place.dataset.errorFor);
    place.textContent = error ? error.message : "";
    const input = form.elements[place.dataset.errorFor];
    if (error) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  }
  const first = form.querySelector("[aria-invalid]");
  if (first) first.focus();
}

discussion.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reply-to]");
  if (button) answer(button.dataset.replyTo, button.dataset.name);
});
answering.querySelector("button").addEventListener("click", () => answer("", ""));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    const reply = await fetch(form.action, {
      method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(form)),
    });
    if (reply.ok) {
      form.elements.comment.value = "";
      answer("", "");
      showErrors([]);
      await refresh();
    } else if (reply.status === 422) {
      showErrors((await reply.json()).errors);
    } else {
      form.submit(); // Without the script, the page itself says what is wrong.
    }
  } catch {
    showErrors([{ field: "comment", message: "The network is away. Your comment is still here; try again." }]);
  } finally {
    button.disabled = false;
  }
});

offerReplies();
refresh();
