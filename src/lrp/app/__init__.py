"""`lrp app`: a page on this machine that explains what is dropped on it (extra ``app``).

- choice: the models that were named at the start, and the words that the page understands
- uploads: what may be dropped, and errors without the server's folders
- answers: one question about a file or a text -> a `Relevance`
- shown: answers side by side -> HTML
- page: the form, in gradio
- guard: which requests are answered
- server: binds to 127.0.0.1 and serves

Importing it does not import gradio; `require` says whether that can be, `serve` does it.
"""

from __future__ import annotations

from lrp.app.choice import Choice, Words
from lrp.app.server import require, serve

__all__ = ["Choice", "Words", "require", "serve"]
