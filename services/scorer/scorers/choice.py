r"""The choice scorer: which letter an answer to a multiple-choice question names.

A target is the text of a choice, a letter, or a 0-based index, tried in this order: where the choices themselves contain the
text `2`, the target `2` is that choice and not the third. Texts are compared trimmed, first as they are, then folded.

An answer is read in this order, each step only where the one before found nothing:
1. the whole answer is a letter (`b)`), else the text of a choice;
2. the last `\boxed{...}` that holds a letter or a choice's text;
3. the last explicit statement: `Answer: B`, `the correct option is (C) Paris`, `I'd go with B`, `B is correct`, `#### B`;
4. a last line that is a letter or the text of a choice (`It's B.`); else the one letter that begins lines as `B. Paris` or `(B) Paris` does;
5. the one letter that stands in brackets or in bold.
Where steps 4 and 5 find several letters, as in an answer that goes through all choices, none is taken. An article `A` or a
pronoun `I` in prose is no letter, and `A or B` names none.

A long answer is read as its first and last `MAX_LOOKED` / 2 characters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from services.scorer.scorers.numeric import braced
from services.scorer.scorers.score import Score, compared
from shared.scoring import ChoiceScoring

MAX_LOOKED = 16_000
_MAX_STATEMENT = 500
"""Characters after `the answer is` in which a choice's text is looked for."""
_NEAR = 160
_FORMS_TRIED = 8

_DECOR = " \t\n\r*_`\"'“”‘’#>$.,:;!?()[]{}\\-–—"
_WHOLE_LETTER = re.compile(r"[\s*_`\"'“‘#>$(\[{-]{0,12}([A-Za-z])[\s*_`\"'”’$)\]}.,:;!]{0,12}")

_STATEMENT = re.compile(
    r"""
    (?:
        \b(?:answer|solution|(?:correct|right|best|final)\s(?:option|choice|one|letter|response|statement))
        (?:\s(?:to|for|here|in|of|among)\b[^.\n?!:]{0,80}?)?
        [*_`\s]{0,4}
        (?:(?:would|must|should|will|could)\s+be\b|is\b|was\b|[:：=\n–—-]|(?=[(\[]))
        (?:\s*(?:therefore|thus|then|clearly|definitely|indeed|hence|likely|probably)\b)?
      | \b(?:I|I['’]d|I['’]ll|I\swould|I\swill)\s(?:choose|pick|select|say|answer|go\s(?:with|for))\b
      | \#{4}(?![^\n]{0,300}\n)     # on the last line: elsewhere it is a heading
    )
    [*_`\s:,>"“'‘$\\(\[-]{0,12}
    (?:(?:the\s)?(?:correct\s|final\s)?\b(?:option|choice|letter|answer)\b(?:\sis\b)?[\s:*_]{0,4})?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REVERSED = re.compile(
    r"""
    (?<![\w'’])([A-Z])[)\]]?[*_]{0,2}
    (?:(?:(?<=[)\]])|[.:])\s[^\n.,:;]{1,80}?)??
    \s(?:is|as|must\sbe|would\sbe|should\sbe)\s(?:clearly\s|indeed\s|therefore\s|thus\s|then\s)?
    (?:the\s(?:only\s|most\s)?(?:correct|right|best|answer|appropriate)|correct|right|my\s(?:final\s)?answer)\b
    """,
    re.VERBOSE,
)
_FILLER = re.compile(
    r"(?:.*[.!?]\s+)?(?:(?:so|thus|therefore|hence),?\s+)?(?:it|that)(?:['’]s|\s+is)\s+(?=.)", re.IGNORECASE
)
_STATED = re.compile(r"(?:text\{|math\w{2}\{)?[\s*_`\"'“‘$(\[{]{0,6}([A-Za-z])(?![\w'’])\s?([)\]}]?)")
_HEDGE = re.compile(r"[\s*_)\]}]{0,4}(?:or|and|/|&)[\s*_(\[{]{0,4}[A-Za-z]\b")
_PROSE = re.compile(
    r"\s+(?!(?:because|since|as|and|which|with|due|but|so|given|based|is|for|by|in|from|according|followed)\b)[a-z]"
)
_LINE_LETTER = re.compile(
    r"(?m)^[ \t>*_`#-]{0,8}(?:[(\[]([A-Z])[)\]]|([A-Z])(?:[*_]{1,3})?[).:\]])(?=[\s*_]|$)(?!\s*(?:or|and|/|&)\s)"
)
_MARKED = re.compile(r"[(\[]([A-Z])[)\]]|\*\*\(?([A-Z])[).]?\*\*")


def score(output: str, target: str, scoring: ChoiceScoring, hints: Mapping[str, Any]) -> Score:
    """Compare the letters of an answer and of a target; `hints[scoring.choices]` holds the choices."""
    choices = _choices(hints.get(scoring.choices))
    if choices is None:
        return compared(None, target.strip(), False)
    wanted = target_letter(target, choices)
    if wanted is None:
        return compared(None, target.strip(), False)
    found = letter(output, choices)
    return Score(found, wanted, found == wanted, {})


def check_target(target: str, scoring: ChoiceScoring, hints: Mapping[str, Any]) -> str | None:
    column = scoring.choices
    if hints.get(column) is None:
        return f"the choices are missing: the item has no column '{column}' with a list of texts"
    choices = _choices(hints[column])
    if choices is None:
        return (
            f"the choices in column '{column}' must be a list of 1 to {len(ascii_uppercase)} texts, none of them empty"
        )
    if len(_same(target.strip(), choices)) > 1:
        return f"the target is the text of more than one of the choices in column '{column}'; give its letter"
    if target_letter(target, choices) is None:
        return (
            f"the target is not among the choices in column '{column}'; give the text of one of them, "
            f"a letter from A to {ascii_uppercase[len(choices) - 1]}, or an index from 0 to {len(choices) - 1}"
        )
    return None


def target_letter(target: str, choices: Sequence[str]) -> str | None:
    """The letter that a target means, or None where it means none of the choices, or several."""
    text = target.strip()
    same = _same(text, choices)
    if same:
        return ascii_uppercase[same[0]] if len(same) == 1 else None
    match = _WHOLE_LETTER.fullmatch(text)
    if match:
        return _valid(match[1], len(choices))
    if text.isdecimal() and len(text) < 3 and int(text) < len(choices):
        return ascii_uppercase[int(text)]
    return None


def _same(text: str, choices: Sequence[str]) -> list[int]:
    """The choices whose text this is: as it stands, else folded."""
    same = [at for at, choice in enumerate(choices) if choice.strip() == text]
    if not same and (folded := _fold(text)):
        same = [at for at, choice in enumerate(choices) if _fold(choice) == folded]
    return same


def letter(output: str, choices: Sequence[str]) -> str | None:
    """The letter that an answer names, or None."""
    text = output.strip()
    if len(text) > MAX_LOOKED:
        text = text[: MAX_LOOKED // 2] + "\n" + text[-MAX_LOOKED // 2 :]
    count = len(choices)
    found = _whole(text, choices)
    if found is None and "\\" in text:
        found = _boxed(text, choices)
    if found is None:
        found = _stated(text, choices)
    if found is None:
        last_line = text[text.rfind("\n") + 1 :]
        filler = _FILLER.match(last_line)
        found = (
            _whole(last_line[filler.end() :] if filler else last_line, choices)
            or _only(_LINE_LETTER.finditer(text), count)
            or _only(_MARKED.finditer(text), count)
        )
    return found


def _choices(value: Any) -> Sequence[str] | None:
    """The choices where they are usable: one to 26 texts."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= len(ascii_uppercase):
        return None
    return value if all(isinstance(choice, str) and choice.strip() for choice in value) else None


def _valid(char: str, count: int) -> str | None:
    char = char.upper()
    return char if "A" <= char <= ascii_uppercase[count - 1] else None


def _fold(text: str) -> str:
    """For comparing texts: folded, one space between words, without marks around it. `-5` and `(5)` keep what they mean."""
    return " ".join(text.casefold().split()).strip("*_`\"'“”‘’ ").rstrip(".!;,: ")


def _whole(text: str, choices: Sequence[str]) -> str | None:
    match = _WHOLE_LETTER.fullmatch(text)
    if match and (found := _valid(match[1], len(choices))):
        return found
    if len(text) > max(map(len, choices)) + 20:
        return None
    folded = _fold(text)
    return next((ascii_uppercase[at] for at, choice in enumerate(choices) if _fold(choice) == folded), None)


def _boxed(text: str, choices: Sequence[str]) -> str | None:
    end = len(text)
    for _ in range(_FORMS_TRIED):
        at = text.rfind("\\boxed{", 0, end)
        if at < 0:
            return None
        end = at
        content = braced(text[at : at + _MAX_STATEMENT])
        if content.startswith(("\\text", "\\math")):
            content = braced(content)
        found = _named(content, 0, choices)
        if found is not None:
            return found
    return None


def _stated(text: str, choices: Sequence[str]) -> str | None:
    """The last explicit statement, looked for near the end first, where it mostly stands."""
    near = len(text) - _NEAR
    return (_stated_from(text, near, choices) if near > 0 else None) or _stated_from(text, 0, choices)


def _stated_from(text: str, start: int, choices: Sequence[str]) -> str | None:
    found = None
    for match in reversed([*_STATEMENT.finditer(text, start)][-_FORMS_TRIED:]):
        found = _named(text, match.end(), choices)
        if found is not None:
            start = match.start() + 1
            break
    for match in _REVERSED.finditer(text, start):
        found = _valid(match[1], len(choices)) or found
    return found


def _named(text: str, at: int, choices: Sequence[str]) -> str | None:
    """The letter, else the choice's text, that stands at a place of a text."""
    match = _STATED.match(text, at)
    if match and (found := _valid(match[1], len(choices))) and not _is_prose(text, match):
        return None if _HEDGE.match(text, match.end()) else found
    segment = text[at : at + _MAX_STATEMENT].lstrip(_DECOR).partition("\n")[0].casefold()
    return _leading_choice(segment, choices) if segment else None


def _is_prose(text: str, match: re.Match[str]) -> bool:
    """Whether an unbracketed letter is a word of a sentence: any lower-case one before a word, `A` and `I` before most words."""
    if match[2]:
        return False
    if match[1].islower():
        return text[match.end() : match.end() + 2].strip()[:1].isalpha()
    return match[1] in "AI" and _PROSE.match(text, match.end(1)) is not None


def _leading_choice(segment: str, choices: Sequence[str]) -> str | None:
    """The longest choice with whose text a folded segment begins, at a word's end."""
    best, found = 0, None
    for at, choice in enumerate(choices):
        folded = choice.casefold().strip(_DECOR)
        if len(folded) > best and segment.startswith(folded) and not segment[len(folded) : len(folded) + 1].isalnum():
            best, found = len(folded), ascii_uppercase[at]
    return found


def _only(matches: Iterator[re.Match[str]], count: int) -> str | None:
    """The one valid letter of all matches; None where there is none, or more than one."""
    letters = {found for match in matches if (found := _valid(match[1] or match[2], count))}
    return letters.pop() if len(letters) == 1 else None
