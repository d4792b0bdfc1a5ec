// The wizard of the first start: the link's token goes from behind the # into the form, and the last page waits.
"use strict";

const entrance = document.querySelector("[data-enter]");
function enter() {
  const token = location.hash.slice(1);
  if (!token) return;
  // Neither the history nor a page that is reloaded shows it.
  history.replaceState(null, "", location.pathname);
  entrance.elements.token.value = token;
  entrance.requestSubmit();
}
if (entrance) {
  enter();
  window.addEventListener("hashchange", enter);
}

const pause = (milliseconds) => new Promise((go) => { setTimeout(go, milliseconds); });
async function answers(address) {
  try {
    const answer = await fetch(address, {mode: "no-cors", cache: "no-store", credentials: "omit"});
    return answer.type === "opaque" || answer.ok;
  } catch {
    return false;
  }
}
async function wait(place) {
  await fetch(place.dataset.go, {cache: "no-store"}).catch(() => null);
  for (let tries = 1; ; tries += 1) {
    await pause(tries < 3 ? 1500 : 1000);
    if (await answers(place.dataset.await)) { location.replace(place.dataset.then); return; }
    if (tries === 12) place.querySelector("[data-slow]").hidden = false;
  }
}
const place = document.querySelector("[data-await]");
if (place) window.addEventListener("load", () => wait(place));
