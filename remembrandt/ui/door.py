"""The door: what is shown to whoever has not signed in. It needs no Gradio, and loads nothing."""

from __future__ import annotations

import html

STYLE = """
:root { color-scheme: light dark; --paper: #faf8f4; --ink: #292524; --deep: #9a3412 }
@media (prefers-color-scheme: dark) { :root { --paper: #16130f; --ink: #e7e5e4 } }
body { background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 26rem; padding: 15vh 1.2rem }
h1 { font-family: Palatino, Georgia, serif; margin: 0 }
label { display: block; font-weight: 600; margin: 1.5rem 0 .3rem }
input { border: 1px solid #8a817a; border-radius: .5rem; box-sizing: border-box; font: inherit;
  padding: .6rem; width: 100% }
button { background: var(--deep); border: 0; border-radius: .5rem; color: #fff; cursor: pointer;
  font: 600 1rem system-ui; margin-top: 1rem; padding: .6rem 1.4rem }
[role=alert] { border-left: 4px solid #dc2626; padding-left: .8rem }
"""


def door(said: str = "") -> str:
    """The sign-in page; `said` is what went wrong."""
    alert = f'<p role="alert">{html.escape(said)}</p>' if said else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Remembrandt: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="/favicon.ico">
<style>{STYLE}</style></head><body><main><h1>Remembrandt</h1>
<p>On your own machine, open the link that <code>remembrandt serve</code> printed. Elsewhere, sign in with the token
that you were given.</p>{alert}<form method="post" action="/sign-in"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form></main></body></html>"""
