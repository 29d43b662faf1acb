"""Texts that must stay texts, and an environment and a model that are made of them."""

import json
from pathlib import Path

import yaml

from tests.pages.puppet import Refusal

SUM = "{{1234*4321}}"
SUM_RENDERED = "5332114"

MARKUP = {
    "script": "<script>alert('script')</script>",
    "image": "<img src=x onerror=alert('image')>",
    "drawing": "<svg onload=alert('drawing')><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "data": "</script><script>alert('data')</script>",
    "comment": "<!-- <script> --!> ]]>",
    "attribute": "\"><a href=javascript:alert(1) onfocus=alert('attribute') autofocus tabindex=1>x</a>",
    "apostrophe": "' onmouseover='alert(1)' x='",
    "style": "</style><style>body{display:none}</style></title></textarea>",
    "frame": "<iframe src=javascript:alert('frame')></iframe><object data=x><embed src=x><base href=//example.org/>",
    "link": "[a link](javascript:alert('link')) <javascript:alert(1)> ![x](https://example.org/pixel.png)",
    "template": f"{SUM} ${{1234*4321}} #{{1234*4321}} <%= 1234*4321 %> {{% raw %}}",
    "entity": "&lt;script&gt; &#x3c;script&#x3e; &amp;",
}
UNSEEN = {
    "override": "invoice \u202egnp.exe \u2066never closed",
    "terminal": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J",
    "NUL": "before\x00after\x7f\ufffe",
    "line ends": "one\r\ntwo\rthree\u2028four\u2029five\x0bsix",
}
WIDE = {
    "word": "W" * 2_000,
    "marks": "Z" + "\u0300\u0489" * 300,
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 200,
    "address": "https://example.org/" + "a/" * 900,
    "lines": "\n" * 3_000 + "the end",
    "blanks": " " * 3_000 + "the end",
}
TEXTS = {**MARKUP, **UNSEEN, **WIDE}
LONG = "long"
HALF = "half"
REFUSED = "refused"
EMPTY = "empty"

NAME = f"{MARKUP['image']} \u202eledom {SUM} </title>"
"""Of a model."""

SLUG = "hostile"

OVERVIEW = f"""# {MARKUP["script"]}

A [link](javascript:alert('overview')), [another](  JaVaScRiPt:alert(1)), [a third](data:text/html,<script>alert(1)</script>),
<javascript:alert(1)>, [a reference][bad], ![a picture](javascript:alert(1)), ![pixel](https://example.org/pixel.png)
and [a good one](https://example.org/ok "\\" onmouseover=alert(1) x=\\"").

[bad]: javascript:alert(1)

<div onclick="alert(1)">{MARKUP["image"]}</div> {MARKUP["drawing"]} {MARKUP["frame"]}

```html "><script>alert(1)</script>
{MARKUP["data"]}
```

| {MARKUP["attribute"]} | {SUM} |
| --- | --- |
| {UNSEEN["override"]} | {WIDE["word"]} |

{SUM} {UNSEEN["terminal"]}
"""


def write_bundle(folder: Path) -> None:
    """An environment whose every text is hostile; an item for each of `TEXTS`, and some whose answers are."""
    rows = [
        {"id": f"{name} {text}"[:200], "question": f"{name}: {text}", "answer": text or "x", "tag": text[:80]}
        for name, text in TEXTS.items()
    ]
    rows += [{"id": name, "question": name, "answer": name} for name in (LONG, HALF, REFUSED, EMPTY)]
    manifest = {
        "slug": SLUG,
        "title": f"Hostile {MARKUP['script']} {UNSEEN['override']}",
        "description": f"{MARKUP['image']} {SUM} {UNSEEN['terminal']} {WIDE['word'][:1_500]}",
        "overview": "overview.md",
        "tags": [MARKUP["drawing"][:60], UNSEEN["override"], "W" * 60, MARKUP["attribute"][:60]],
        "prompt": {"system": MARKUP["data"], "template": "{{ question }}"},
        "generation": {"temperature": 0, MARKUP["apostrophe"]: MARKUP["script"]},
        "phases": [
            {
                "name": "all",
                "description": f"{MARKUP['frame']} {UNSEEN['NUL']}",
                "data": "all.jsonl",
                "fields": {"id": "id", "input": "question", "target": "answer"},
            }
        ],
        "scoring": {"scorer": "exact_match"},
        "leaderboard": {"columns": [{"key": "accuracy", "title": f"{MARKUP['script']}{SUM}"}]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environment.yaml").write_text(yaml.safe_dump(manifest, allow_unicode=False))
    (folder / "overview.md").write_text(OVERVIEW)
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def say(prompt: str) -> str:
    """The model's answer: the item's text, but for those whose name says otherwise."""
    match prompt:
        case "long":
            return "L" * 1_000_000
        case "half":
            return "half a pair \ud83d alone and \udc00 too"
        case "refused":
            raise Refusal(400, json.dumps({"error": {"message": f"{MARKUP['script']} {UNSEEN['terminal']} {SUM}"}}))
        case "empty":
            return ""
    return prompt.partition(": ")[2]
