"""The few pages that a log-in needs before there is anything else: a password is set, a provider has answered.

Each has its own policy for what the browser may do: nothing but run this one script, and ask this server.
"""

import base64
import hashlib
import html
from typing import Final

from fastapi.responses import HTMLResponse

from keyrack.shell.rest.v1.routing import open_noun

opened = open_noun("pages")

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color:#1d1d1d;background:#fff}
label{display:block;margin-top:1rem}input{font:inherit;width:100%;padding:.4rem;box-sizing:border-box}
button{font:inherit;margin-top:1.2rem;padding:.5rem 1.2rem}
@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}}
"""
_SCRIPT: Final = """
"use strict";
const token = location.hash.slice(1), form = document.forms[0], told = document.getElementById("told");
history.replaceState(null, "", location.pathname);
if (!token) { form.hidden = true; told.textContent = "This page needs the whole link, with what stands behind its #."; }
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [one, two] = [form.password.value, form.again.value];
  if (one !== two) { told.textContent = "The two are not the same."; return; }
  form.send.disabled = true;
  told.textContent = "One moment.";
  try {
    const answer = await fetch("/api/v1/set-password", {
      method: "POST", headers: {"content-type": "application/json"}, credentials: "omit",
      body: JSON.stringify({token: token, password: one}),
    });
    const said = await answer.json();
    form.hidden = answer.ok;
    if (answer.ok) { told.textContent = "The password of " + said.name + " is set. You can log in."; }
    else { told.textContent = said.detail + (said.hint ? "; " + said.hint : "") + "."; }
  } catch { told.textContent = "The server cannot be reached; try again."; }
  form.send.disabled = false;
});
"""
_FORM: Final = """
<h1>Keyrack: set your password</h1>
<p>At least 12 characters; some words that nobody would put together are a good one.</p>
<form autocomplete="on"><label>New password
<input name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="256"></label>
<label>The same again
<input name="again" type="password" autocomplete="new-password" required></label>
<button name="send">Set the password</button></form><p id="told" role="status" aria-live="polite"></p>
<noscript><p>This page needs JavaScript. At the machine itself: keyrack person password NAME</p></noscript>
"""


def page(title: str, body: str, *, script: str = "", status: int = 200) -> HTMLResponse:
    """A page whose ``body`` is HTML already."""
    code = f"<script>{script}</script>" if script else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body>{body}{code}</body></html>"
    )
    policy = f"default-src 'none'; style-src '{_hash(_STYLE)}'; base-uri 'none'; form-action 'none'"
    policy += "; frame-ancestors 'none'" + (f"; script-src '{_hash(script)}'; connect-src 'self'" if script else "")
    return HTMLResponse(text, status, headers={"content-security-policy": policy})


def telling(title: str, told: str, *, status: int = 200) -> HTMLResponse:
    """A page that says one thing."""
    return page(title, f"<h1>{html.escape(title)}</h1><p>{html.escape(told)}</p>", status=status)


@opened.get("/set-password", response_class=HTMLResponse, responses={200: {"content": {"text/html": {}}}})
async def show_set_password() -> HTMLResponse:
    """Show the page on which a password is set; the link's token stays in the browser until then."""
    return page("Keyrack: set your password", _FORM, script=_SCRIPT)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
