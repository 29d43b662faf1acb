"""What is said of each wrong manifest, data file and program: one row each, with the first line that its author reads.

A row's line names file, line or row, field, and what would be right; nothing is left to guess.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from assay.session import explain
from services.artifacts.bundles import Limits, read_bundle
from services.artifacts.targets import check_targets
from services.scorer.targets import Targets
from services.scorer.workers import Workers
from shared.errors import Invalid
from tests.unit.artifacts.bundles import write_zip

GOOD = """slug: sums
title: Sums
prompt:
  template: "{{ question }}"
phases:
  - name: dev
    data: dev.jsonl
    fields: {id: id, input: question, target: answer}
scoring:
  scorer: numeric
"""
ROW = '{"id": "a", "question": "1 + 1?", "answer": "2"}\n'
BASE = {"id": "a", "question": "?", "answer": "x"}
PHASES = GOOD[GOOD.index("phases:") : GOOD.index("scoring:")]
PROMPT = GOOD[GOOD.index("prompt:") : GOOD.index("phases:")]


def m(old: str, new: str) -> str:
    """The good manifest with a change."""
    assert old in GOOD
    return GOOD.replace(old, new)


def sc(options: str) -> str:
    """The good manifest with another scoring."""
    return m("  scorer: numeric\n", options)


def ph(options: str) -> str:
    """The good manifest with more options of its phase, from line 8 on."""
    return m("    data: dev.jsonl\n", "    data: dev.jsonl\n" + options)


def rows(*items: Any) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


WRONG: dict[str, tuple[str | bytes, dict[str, str | bytes], str]] = {
    "nothing": ("", {}, ("environment.yaml: must be a mapping with slug, title, prompt, phases and scoring")),
    "list": ("- a\n", {}, ("environment.yaml: must be a mapping with slug, title, prompt, phases and scoring")),
    "text": ("hello", {}, ("environment.yaml: must be a mapping with slug, title, prompt, phases and scoring")),
    "tab": (
        "\tslug: a",
        {},
        (
            "environment.yaml:1: found character '\\t' that cannot start any token; indent with "
            "blanks, and put a text that begins so in quotes"
        ),
    ),
    "unclosed": ("slug: [a\n", {}, ("environment.yaml:2: expected ',' or ']', but got '<stream end>'")),
    "unquoted brace": (
        m('"{{ question }}"', "{{ question }}"),
        {},
        ("environment.yaml:4: a key must be text; put it in quotes; a text that begins with { must be, too"),
    ),
    "dup key": (GOOD + "slug: b\n", {}, ("environment.yaml:11: the key 'slug' is given twice")),
    "colon in title": (
        m("title: Sums", "title: Sums: easy ones"),
        {},
        (
            "environment.yaml:2: mapping values are not allowed here; a text with a colon and a blank"
            " in it must be in quotes"
        ),
    ),
    "latin1": (
        GOOD.replace("Sums", "S\xfcms").encode("latin-1"),
        {},
        ("environment.yaml: is not UTF-8: byte 0xfc at position 20"),
    ),
    "python tag": (
        m("title: Sums", "title: !!python/name:os.system x"),
        {},
        ("environment.yaml:2: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'"),
    ),
    "no slug": (m("slug: sums\n", ""), {}, ("environment.yaml: slug: slug is missing")),
    "slug caps": (
        m("slug: sums", "slug: My Sums"),
        {},
        (
            "environment.yaml:1: slug: must be 1 to 63 lower-case letters, digits, '-' and '_', "
            "beginning with a letter or digit"
        ),
    ),
    "slug num": (m("slug: sums", "slug: 5"), {}, ("environment.yaml:1: slug: must be a text; put it in quotes")),
    "title num": (m("title: Sums", "title: 2024"), {}, ("environment.yaml:2: title: must be a text; put it in quotes")),
    "title empty": (m("title: Sums", "title: ''"), {}, ("environment.yaml:2: title: must not be empty")),
    "title long": (
        m("title: Sums", "title: " + "x" * 201),
        {},
        ("environment.yaml:2: title: must have at most 200 characters"),
    ),
    "tags text": (
        m("title: Sums", "title: Sums\ntags: math"),
        {},
        ("environment.yaml:3: tags: must be a list, such as [a, b]"),
    ),
    "tags many": (
        m("title: Sums", "title: Sums\ntags: [" + ", ".join(f"t{n}" for n in range(21)) + "]"),
        {},
        ("environment.yaml:3: tags: must have at most 20 entries"),
    ),
    "unknown key": (
        m("title: Sums", "titel: Sums\ntitle: Sums"),
        {},
        (
            "environment.yaml:2: titel: unknown key 'titel'; did you mean 'title'? The keys here are "
            "dataset, description, generation, leaderboard, overview, phases, prompt, scoring, slug, "
            "tags, title"
        ),
    ),
    "capital key": (m("title: Sums", "Title: Sums"), {}, ("environment.yaml: title: title is missing")),
    "no prompt": (m(PROMPT, ""), {}, ("environment.yaml: prompt: prompt is missing")),
    "prompt text": (
        m(PROMPT, "prompt: Say it\n"),
        {},
        ("environment.yaml:3: prompt: must be a mapping with system, template, messages, chat"),
    ),
    "prompt empty": (
        m('  template: "{{ question }}"\n', "  system: x\n"),
        {},
        ("environment.yaml:3: prompt: give one of template, messages and chat"),
    ),
    "prompt both": (
        m('  template: "{{ question }}"\n', "  template: x\n  messages: [{role: user, content: x}]\n"),
        {},
        ("environment.yaml:3: prompt: give one of template, messages and chat"),
    ),
    "role": (
        m('  template: "{{ question }}"\n', "  messages: [{role: human, content: x}]\n"),
        {},
        ("environment.yaml:4: prompt.messages.0.role: must be one of assistant, system, user"),
    ),
    "messages sys": (
        m('  template: "{{ question }}"\n', "  system: a\n  messages: [{role: user, content: x}]\n"),
        {},
        ("environment.yaml:3: prompt: system goes with template; with messages or chat, write it as the first message"),
    ),
    "template undefined": (
        m("{{ question }}", "{{ qestion }}"),
        {},
        (
            "environment.yaml:4: prompt.template: line 1 of the template: 'qestion' is undefined; the"
            " columns are id, question, answer (with dev.jsonl, line 1)"
        ),
    ),
    "template syntax": (
        m("{{ question }}", "{{ question }"),
        {},
        ("environment.yaml:4: prompt.template: line 1 of the template: unexpected '}'"),
    ),
    "template block": (
        m("{{ question }}", "{% if question %}x"),
        {},
        (
            "environment.yaml:4: prompt.template: line 1 of the template: Unexpected end of template."
            " Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. The innermost "
            "block that needs to be closed is 'if'."
        ),
    ),
    "template empty": (
        m("{{ question }}", " "),
        {},
        ("environment.yaml:4: prompt.template: renders to no text at all (with dev.jsonl, line 1)"),
    ),
    "template filter": (
        m("{{ question }}", "{{ question|uper }}"),
        {},
        ("environment.yaml:4: prompt.template: line 1 of the template: No filter named 'uper'."),
    ),
    "chat column": (
        m('  template: "{{ question }}"\n', "  chat: turns\n"),
        {},
        ("dev.jsonl:1: turns: column 'turns' (prompt.chat) is missing; the columns are answer, id, question"),
    ),
    "chat not chat": (
        m('  template: "{{ question }}"\n', "  chat: question\n"),
        {},
        (
            "dev.jsonl:1: question: column 'question' must hold a list of chat messages such as "
            '{"role": "user", "content": "..."}'
        ),
    ),
    "temp neg": (
        GOOD + "generation: {temperature: -1}\n",
        {},
        ("environment.yaml:11: generation.temperature: must be at least 0"),
    ),
    "temp text": (
        GOOD + "generation: {temperature: hot}\n",
        {},
        ("environment.yaml:11: generation.temperature: must be a number"),
    ),
    "max_tokens 0": (
        GOOD + "generation: {max_tokens: 0}\n",
        {},
        ("environment.yaml:11: generation.max_tokens: must be at least 1"),
    ),
    "max_tokens float": (
        GOOD + "generation: {max_tokens: 1.5}\n",
        {},
        ("environment.yaml:11: generation.max_tokens: must be a whole number"),
    ),
    "stop": (
        GOOD + "generation: {stop: 5}\n",
        {},
        ("environment.yaml:11: generation.stop: must be a text; put it in quotes or: must be a list, such as [a, b]"),
    ),
    "no phases": (m(PHASES, "phases: []\n"), {}, ("environment.yaml:5: phases: must have at least 1 entry")),
    "phases map": (
        m(PHASES, "phases: {name: dev, data: dev.jsonl}\n"),
        {},
        ("environment.yaml:5: phases: must be a list, such as [a, b]"),
    ),
    "phase no data": (m("    data: dev.jsonl\n", ""), {}, ("environment.yaml:6: phases.0.data: data is missing")),
    "phase no name": (
        m("  - name: dev\n    data", "  - data"),
        {},
        ("environment.yaml:6: phases.0.name: name is missing"),
    ),
    "phase bad name": (
        m("name: dev", "name: a/b"),
        {},
        (
            "environment.yaml:6: phases.0.name: must be 1 to 63 letters, digits, blanks, '_', '.' and"
            " '-', beginning with a letter or digit"
        ),
    ),
    "phase twice": (
        m("scoring:", "  - {name: dev, data: dev.jsonl}\nscoring:"),
        {},
        ("environment.yaml:5: phases: phase names must differ"),
    ),
    "phase start": (
        ph("    start: tomorrow\n"),
        {},
        ("environment.yaml:8: phases.0.start: must be a time such as 2026-01-31 or 2026-01-31T18:00:00Z"),
    ),
    "phase end": (
        ph("    start: 2026-02-01\n    end: 2026-01-01\n"),
        {},
        ("environment.yaml:6: phases.0: end must be after start"),
    ),
    "phase quota": (
        ph("    max_submissions: 0\n"),
        {},
        ("environment.yaml:8: phases.0.max_submissions: must be at least 1"),
    ),
    "phase per day": (
        ph("    max_submissions_per_day: few\n"),
        {},
        ("environment.yaml:8: phases.0.max_submissions_per_day: must be a whole number"),
    ),
    "phase limit": (
        ph("    execution_time_limit_s: -5\n"),
        {},
        ("environment.yaml:8: phases.0.execution_time_limit_s: must be more than 0"),
    ),
    "phase hide": (
        ph("    hide_targets: maybe\n"),
        {},
        ("environment.yaml:8: phases.0.hide_targets: must be true or false"),
    ),
    "phase unknown": (
        ph("    max_submission: 5\n"),
        {},
        (
            "environment.yaml:8: phases.0.max_submission: unknown key 'max_submission'; did you mean "
            "'max_submissions'? The keys here are data, description, end, execution_time_limit_s, "
            "fields, hide_targets, max_submissions, max_submissions_per_day, name, reference, start"
        ),
    ),
    "phase reference": (
        ph("    reference: gold\n"),
        {},
        ("environment.yaml: phase 'dev' has a reference, which only a scoring program reads"),
    ),
    "fields unknown": (
        m("target: answer", "targets: answer"),
        {},
        (
            "environment.yaml:8: phases.0.fields.targets: unknown key 'targets'; did you mean "
            "'target'? The keys here are id, input, target"
        ),
    ),
    "fields input list": (
        m("input: question", "input: [question]"),
        {},
        ("environment.yaml:8: phases.0.fields.input: must be a text"),
    ),
    "no data file": (
        m("data: dev.jsonl", "data: dve.jsonl"),
        {},
        (
            "environment.yaml:7: phases.0.data: there is no file 'dve.jsonl' in the bundle; did you "
            "mean 'dev.jsonl'? The bundle has dev.jsonl"
        ),
    ),
    "data outside": (
        m("data: dev.jsonl", "data: ../dev.jsonl"),
        {},
        (
            "environment.yaml:7: phases.0.data: there is no file '../dev.jsonl' in the bundle; did "
            "you mean 'dev.jsonl'? The bundle has dev.jsonl"
        ),
    ),
    "data suffix": (
        m("data: dev.jsonl", "data: dev.txt"),
        {"dev.txt": ROW},
        ("dev.txt: is of no known format: the name must end in .jsonl, .csv, .tsv, .parquet"),
    ),
    "overview missing": (
        GOOD + "overview: readme.md\n",
        {"README.md": "x"},
        (
            "environment.yaml:11: overview: there is no file 'readme.md' in the bundle; did you mean "
            "'README.md'? The bundle has README.md, dev.jsonl"
        ),
    ),
    "overview latin": (GOOD + "overview: o.md\n", {"o.md": b"\xff"}, ("o.md: is not UTF-8: byte at position 1")),
    "no scoring": (m("scoring:\n  scorer: numeric\n", ""), {}, ("environment.yaml: scoring: scoring is missing")),
    "scoring text": (
        m("scoring:\n  scorer: numeric\n", "scoring: numeric\n"),
        {},
        ("environment.yaml:9: scoring: must be a mapping with scorer"),
    ),
    "scorer unknown": (
        sc("  scorer: nummeric\n"),
        {},
        (
            "environment.yaml:10: scoring.scorer: unknown scorer 'nummeric'; did you mean 'numeric'? "
            "The scorers are bleu, choice, code, contains, exact_match, f1, json, judge, math, "
            "numeric, program, regex, rouge"
        ),
    ),
    "scorer missing": (
        sc("  tolerance: 1\n"),
        {},
        (
            "environment.yaml:9: scoring.scorer: scorer is missing; scorer is one of bleu, choice, "
            "code, contains, exact_match, f1, json, judge, math, numeric, program, regex, rouge"
        ),
    ),
    "option unknown": (
        sc("  scorer: numeric\n  tolerence: 1\n"),
        {},
        (
            "environment.yaml:11: scoring.tolerence: unknown key 'tolerence'; did you mean "
            "'tolerance'? The keys here are scorer, tolerance"
        ),
    ),
    "option of another": (
        sc("  scorer: numeric\n  ignore_case: true\n"),
        {},
        ("environment.yaml:11: scoring.ignore_case: unknown key 'ignore_case'; the keys here are scorer, tolerance"),
    ),
    "tolerance": (
        sc("  scorer: numeric\n  tolerance: -1\n"),
        {},
        ("environment.yaml:11: scoring.tolerance: must be at least 0"),
    ),
    "threshold": (
        sc("  scorer: f1\n  threshold: 60\n"),
        {},
        ("environment.yaml:11: scoring.threshold: must be at most 1"),
    ),
    "regex bad": (
        sc("  scorer: regex\n  pattern: '('\n"),
        {},
        ("environment.yaml:11: scoring.pattern: is not a valid regular expression: missing ) at position 1"),
    ),
    "regex which": (
        sc("  scorer: regex\n  pattern: a\n  which: middle\n"),
        {},
        ("environment.yaml:12: scoring.which: must be one of first, last"),
    ),
    "choice column": (
        sc("  scorer: choice\n  choices: options\n"),
        {"dev.jsonl": rows({**BASE, "choice": ["a", "b"]})},
        ("dev.jsonl:1: options: column 'options' (scoring) is missing; the columns are answer, choice, id, question"),
    ),
    "choice text": (
        sc("  scorer: choice\n"),
        {"dev.jsonl": rows({**BASE, "choices": "a,b"})},
        ('dev.jsonl:1: choices: column \'choices\' must hold a list of at least two texts, such as ["yes", "no"]'),
    ),
    "choice target": (
        sc("  scorer: choice\n"),
        {"dev.jsonl": rows({**BASE, "answer": "E", "choices": ["a", "b"]})},
        (
            "dev.jsonl:1: answer: the target is not among the choices in column 'choices'; give the "
            "text of one of them, a letter from A to B, or an index from 0 to 1"
        ),
    ),
    "choice idx": (
        sc("  scorer: choice\n"),
        {"dev.jsonl": rows({**BASE, "answer": 2, "choices": ["a", "b"]})},
        (
            "dev.jsonl:1: answer: the target is not among the choices in column 'choices'; give the "
            "text of one of them, a letter from A to B, or an index from 0 to 1"
        ),
    ),
    "rouge variant": (
        sc("  scorer: rouge\n  variant: rouge3\n"),
        {},
        (
            "environment.yaml:11: scoring.variant: did you mean 'rougeL'? Must be one of rouge1, "
            "rouge2, rougeL, rougeLsum"
        ),
    ),
    "references column": (
        sc("  scorer: rouge\n  references: others\n"),
        {},
        ("dev.jsonl:1: others: column 'others' (scoring) is missing; the columns are answer, id, question"),
    ),
    "bleu tok": (
        sc("  scorer: bleu\n  tokenize: words\n"),
        {},
        ("environment.yaml:11: scoring.tokenize: must be one of 13a, char, intl, none, zh"),
    ),
    "math target": (
        sc("  scorer: math\n"),
        {"dev.jsonl": rows({**BASE, "answer": "I do not know"})},
        (
            "dev.jsonl:1: answer: the target reads as words (know), which would be taken as products "
            "of variables; for texts take exact_match"
        ),
    ),
    "json target": (
        sc("  scorer: json\n"),
        {"dev.jsonl": rows({**BASE, "answer": "{a: 1}"})},
        (
            "dev.jsonl:1: answer: the target is not JSON: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)"
        ),
    ),
    "json schema": (
        sc("  scorer: json\n  schema: {type: objekt}\n"),
        {"dev.jsonl": rows({**BASE, "answer": "{}"})},
        (
            "environment.yaml:11: scoring.schema.type: is no JSON Schema: 'objekt' is not valid under"
            " any of the given schemas"
        ),
    ),
    "json target schema": (
        sc("  scorer: json\n  schema: {type: object, required: [b]}\n"),
        {"dev.jsonl": rows({**BASE, "answer": '{"a": 1}'})},
        ("dev.jsonl:1: answer: the target does not fit scoring.schema: 'b' is a required property"),
    ),
    "json fields": (
        sc("  scorer: json\n  fields: [b]\n"),
        {"dev.jsonl": rows({**BASE, "answer": '{"a": 1}'})},
        ("dev.jsonl:1: answer: the target has no field 'b', which scoring.fields names"),
    ),
    "code tests": (
        sc("  scorer: code\n"),
        {"dev.jsonl": rows({**BASE, "tests": "assert 1", "entry_point": "f"})},
        (
            "dev.jsonl:1: test: column 'test' (scoring) is missing; did you mean 'tests'? The columns"
            " are answer, entry_point, id, question, tests"
        ),
    ),
    "code syntax": (
        sc("  scorer: code\n"),
        {"dev.jsonl": rows({**BASE, "test": "def check(:", "entry_point": "f"})},
        ("dev.jsonl:1: test: column 'test': the tests are no Python: invalid syntax, line 1"),
    ),
    "code check": (
        sc("  scorer: code\n"),
        {"dev.jsonl": rows({**BASE, "test": "assert f(1)", "entry_point": "f"})},
        (
            "dev.jsonl:1: test: column 'test' defines no check(candidate); write one, or "
            "`entry_point: null` in scoring for tests that fail by raising"
        ),
    ),
    "judge rubric": (sc("  scorer: judge\n"), {}, ("environment.yaml:9: scoring.rubric: rubric is missing")),
    "judge template": (
        sc("  scorer: judge\n  rubric: '{{ ouput }} Verdict: 5'\n"),
        {},
        (
            "environment.yaml:11: scoring.rubric: line 1 of the template: 'ouput' is undefined; the "
            "columns are input, output, target; scoring.columns names further ones (with dev.jsonl, "
            "line 1)"
        ),
    ),
    "judge scale": (
        sc("  scorer: judge\n  rubric: '{{ output }}'\n  scale: [10, 0]\n"),
        {},
        ("environment.yaml:9: scoring: scale must be [lowest, highest]"),
    ),
    "judge pattern": (
        sc("  scorer: judge\n  rubric: '{{ output }}'\n  pattern: 'abc'\n"),
        {},
        ("environment.yaml:12: scoring.pattern: has no group; put what matches the verdict in parentheses"),
    ),
    "judge against": (
        sc("  scorer: judge\n  rubric: '{{ output_a }} {{ output_b }}'\n  pairwise: {against: other}\n"),
        {},
        ("dev.jsonl:1: other: column 'other' (scoring) is missing; the columns are answer, id, question"),
    ),
    "program missing": (
        sc("  program: scoring_program\n"),
        {"dev.jsonl": ROW, "scoring/metadata.yaml": "command: x"},
        (
            "environment.yaml:10: scoring.program: there is no folder or zip 'scoring_program' in the"
            " bundle; did you mean 'scoring'? Its folders and zips are scoring"
        ),
    ),
    "program no metadata": (
        sc("  program: p\n"),
        {"dev.jsonl": ROW, "p/score.py": "x"},
        (
            "p/metadata.yaml: is missing; write a line such as 'command: python3 score.py /app/input "
            "/app/output' into it (the program's folder has score.py)"
        ),
    ),
    "program no command": (
        sc("  program: p\n"),
        {"dev.jsonl": ROW, "p/metadata.yaml": "comand: python3 score.py"},
        ("p/metadata.yaml: has no command; write 'command: python3 score.py /app/input /app/output'"),
    ),
    "program metadata yaml": (
        sc("  program: p\n"),
        {"dev.jsonl": ROW, "p/metadata.yaml": "command: [a"},
        (
            "p/metadata.yaml:1: expected ',' or ']', but got '<stream end>'; write 'command: python3 "
            "score.py /app/input /app/output'"
        ),
    ),
    "program reference": (
        sc("  program: p\n  reference: ref\n"),
        {"dev.jsonl": ROW, "p/metadata.yaml": "command: python3 score.py", "p/score.py": ""},
        (
            "environment.yaml:11: scoring.reference: there is no folder or zip 'ref' in the bundle; "
            "its folders and zips are p"
        ),
    ),
    "program time": (
        sc("  program: p\n  time_limit_s: 100000\n"),
        {"dev.jsonl": ROW},
        ("environment.yaml:11: scoring.time_limit_s: must be at most 86,400"),
    ),
    "columns empty": (
        GOOD + "leaderboard: {columns: []}\n",
        {},
        ("environment.yaml:11: leaderboard.columns: must have at least 1 entry"),
    ),
    "columns twice": (
        GOOD + "leaderboard: {columns: [{key: a}, {key: a}]}\n",
        {},
        ("environment.yaml:11: leaderboard: the keys of columns must differ"),
    ),
    "column sorting": (
        GOOD + "leaderboard: {columns: [{key: a, sorting: up}]}\n",
        {},
        ("environment.yaml:11: leaderboard.columns.0.sorting: must be one of asc, desc"),
    ),
    "computed of": (
        GOOD + "leaderboard: {columns: [{key: a}, {key: b, computed: {operation: avg, of: [c]}}]}\n",
        {},
        ("environment.yaml:11: leaderboard: column 'b' is computed of 'c', which is no column over a metric"),
    ),
    "computed op": (
        GOOD + "leaderboard: {columns: [{key: a}, {key: b, computed: {operation: mean, of: [a]}}]}\n",
        {},
        ("environment.yaml:11: leaderboard.columns.1.computed.operation: must be one of avg, max, min, sum"),
    ),
    "rule": (
        GOOD + "leaderboard: {submission_rule: best}\n",
        {},
        (
            "environment.yaml:11: leaderboard.submission_rule: must be one of add, add_and_delete, "
            "all, force_best, force_last"
        ),
    ),
    "dataset": (GOOD + "dataset: perhaps\n", {}, ("environment.yaml:11: dataset: must be true or false")),
    "not json": (
        GOOD,
        {"dev.jsonl": ROW + "{'id': 'b'}\n"},
        ("dev.jsonl:2: is not JSON: Expecting property name enclosed in double quotes at column 2"),
    ),
    "json list": (
        GOOD,
        {"dev.jsonl": ROW + "[1]\n"},
        ('dev.jsonl:2: is not an object; a line must look like {"input": "...", "target": "..."}'),
    ),
    "one json array": (
        GOOD,
        {"dev.jsonl": "[\n" + ROW.strip() + "\n]\n"},
        (
            "dev.jsonl:1: is not JSON: a value of several lines begins here; each line must be an object by itself, "
            "without a list around them"
        ),
    ),
    "NaN": (
        GOOD,
        {"dev.jsonl": '{"id": "a", "question": "?", "answer": NaN}\n'},
        ("dev.jsonl:1: is not JSON: NaN is no JSON value; write null"),
    ),
    "not utf8": (
        GOOD,
        {"dev.jsonl": ROW.encode() + b'{"id": "\xe9"}\n'},
        ("dev.jsonl:2: is not UTF-8: byte 0xe9 at position 9"),
    ),
    "utf16": (GOOD, {"dev.jsonl": ROW.encode("utf-16")}, ("dev.jsonl: is UTF-16; save it as UTF-8")),
    "missing column": (
        GOOD,
        {"dev.jsonl": rows({"id": "a", "question": "?", "anwser": "2"})},
        (
            "dev.jsonl:1: answer: column 'answer' (fields.target) is missing; did you mean 'anwser'? "
            "The columns are anwser, id, question"
        ),
    ),
    "column case": (
        GOOD,
        {"dev.jsonl": rows({"id": "a", "Question": "?", "answer": "2"})},
        (
            "dev.jsonl:1: question: column 'question' (fields.input) is missing; did you mean "
            "'Question'? The columns are Question, answer, id"
        ),
    ),
    "empty target": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "answer": "  "})},
        ("dev.jsonl:1: answer: column 'answer' is empty"),
    ),
    "null target": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "answer": None})},
        ("dev.jsonl:1: answer: column 'answer' holds null; a text, a number, true or false is needed"),
    ),
    "target list": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "answer": ["2"]})},
        ("dev.jsonl:1: answer: column 'answer' holds a list; a text, a number, true or false is needed"),
    ),
    "target word": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "answer": "two"})},
        (
            "dev.jsonl:1: answer: the target holds no number that can be read; write one such as 18, "
            "1,234.5, 3/4 or a worked answer that ends in '#### 18'"
        ),
    ),
    "input null": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "question": None, "answer": "2"})},
        ("dev.jsonl:1: question: column 'question' holds null; a text, a number, true or false is needed"),
    ),
    "input dict": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "question": {"a": 1}, "answer": "2"})},
        ("dev.jsonl:1: question: column 'question' holds an object; a text, a number, true or false is needed"),
    ),
    "dup id": (
        GOOD,
        {"dev.jsonl": ROW + ROW},
        ("dev.jsonl:2: id: the id 'a' is that of line 1 too; ids must differ within a phase"),
    ),
    "id long": (
        GOOD,
        {"dev.jsonl": rows({**BASE, "id": "x" * 300, "answer": "2"})},
        ("dev.jsonl:1: id: column 'id' has 300 characters; an id has at most 256"),
    ),
    "no items": (GOOD, {"dev.jsonl": ""}, ("dev.jsonl: has no items")),
    "dir as file": (
        m("data: dev.jsonl", "data: data"),
        {"data/dev.jsonl": ROW},
        ("environment.yaml:7: phases.0.data: there is no file 'data' in the bundle; the bundle has data/dev.jsonl"),
    ),
    "csv cells": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": "id,question,answer\na,What, then?,2\n"},
        ("dev.csv:2: has 4 cells; the header has 3; a text that holds the separator must be in double quotes"),
    ),
    "csv no header": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": "a,1 + 1?,2\nb,2 + 2?,4\n"},
        ("dev.csv:2: id: column 'id' (fields.id) is missing; the columns are 1 + 1?, 2, a"),
    ),
    "csv semicolon": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": "id;question;answer\na;b;2\n"},
        (
            "dev.csv:1: is the header, and has only one column; cells are separated by commas here, "
            "and not by semicolons"
        ),
    ),
    "csv twice": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": "id,question,question\na,b,2\n"},
        ("dev.csv:1: is the header, and has the column 'question' twice"),
    ),
    "csv quote": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": 'id,question,answer\na,"b,2\n'},
        ("dev.csv:2: is not CSV: unexpected end of data"),
    ),
    "csv noname": (
        m("dev.jsonl", "dev.csv"),
        {"dev.csv": "id,,answer\na,b,2\n"},
        ("dev.csv:1: is the header, and column 2 has no name"),
    ),
    "parquet not": (
        m("dev.jsonl", "dev.parquet"),
        {"dev.parquet": b"PAR1 not really"},
        (
            "dev.parquet: is not readable as Parquet: Parquet magic bytes not found in footer. Either"
            " the file is corrupted or this is not a parquet file."
        ),
    ),
}
"""Manifest, files (with none of them data, `dev.jsonl` with `ROW` is there), and the first line of what is said."""


@pytest.fixture(scope="module")
async def targets() -> AsyncIterator[Targets]:
    workers = Workers(1)
    yield Targets(workers)
    await workers.stop()


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_said(tmp_path: Path, targets: Targets, name: str) -> None:
    text, files, said = WRONG[name]
    if not any(file.startswith(("dev.", "data/")) for file in files):
        files = {"dev.jsonl": ROW, **files}
    entries = [(file, content.encode() if isinstance(content, str) else content) for file, content in files.items()]
    archive = write_zip(
        tmp_path / "bundle.zip", [("environment.yaml", text if isinstance(text, bytes) else text.encode()), *entries]
    )
    with pytest.raises(Invalid) as caught:
        await check_targets(read_bundle(archive, tmp_path, Limits()), tmp_path, targets.check)
    assert list(explain(caught.value))[1].strip() == said


async def test_the_bundle_that_is_made_wrong_is_right(tmp_path: Path, targets: Targets) -> None:
    archive = write_zip(tmp_path / "bundle.zip", [("environment.yaml", GOOD.encode()), ("dev.jsonl", ROW.encode())])
    await check_targets(read_bundle(archive, tmp_path, Limits()), tmp_path, targets.check)
