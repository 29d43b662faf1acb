"""Scores whether a model gives one problem one answer: `python3 score.py INPUT OUTPUT`.

Reads `INPUT/ref/problems.jsonl` (`item_id`, `problem`, `answer`) and `INPUT/res/predictions.jsonl`, and writes `OUTPUT/scores.json` and
`OUTPUT/problems.csv`. Of a problem counts what was called; one of which a question is missing is left out.
"""

import csv
import json
import re
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"-?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


def number_in(text: str) -> Decimal | None:
    """The last number of an answer: 1,234, $1,234 and 1234.00 are the same."""
    found = NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "").replace("$", "")).normalize() if found else None


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def problems(
    reference: list[dict[str, Any]], predictions: list[dict[str, Any]]
) -> list[tuple[str, Decimal, list[Decimal | None]]]:
    """Each problem with its right answer, and the numbers that were given for it, in the order of its questions."""
    given: dict[str, list[dict[str, Any]]] = {}
    for prediction in predictions:
        given.setdefault(prediction["item_id"], []).append(prediction)
    questions: dict[str, list[dict[str, Any]]] = {}
    for row in reference:
        questions.setdefault(row["problem"], []).append(row)
    found = []
    for problem, rows in questions.items():
        samples = [sample for row in rows for sample in given.get(row["item_id"], [])]
        complete = all(row["item_id"] in given for row in rows)
        if complete and all(sample["outcome"] != "infra_error" for sample in samples):
            right = Decimal(rows[0]["answer"]).normalize()
            found.append((problem, right, [number_in(sample["output"]) for sample in samples]))
    return found


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    scored = problems(lines(source / "ref" / "problems.jsonl"), lines(source / "res" / "predictions.jsonl"))
    if not scored:
        sys.exit("no problem has answers to all of its questions: evaluate at least 4 items")
    steady = steady_right = majority = right = answers = 0
    with (target / "problems.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["problem", "right", "answers"])
        for problem, wanted, numbers in scored:
            (commonest, times), *_ = Counter(numbers).most_common()
            is_steady = times == len(numbers) and commonest is not None
            steady += is_steady
            steady_right += is_steady and commonest == wanted
            majority += times * 2 > len(numbers) and commonest == wanted
            right += numbers.count(wanted)
            answers += len(numbers)
            table.writerow([problem, wanted, *("" if number is None else number for number in numbers)])
    scores = {
        "steady_right": steady_right / len(scored),
        "steady": steady / len(scored),
        "majority": majority / len(scored),
        "accuracy": right / answers,
    }
    (target / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    print(f"{len(scored)} problems: {steady} with one answer, {steady_right} of them right")


if __name__ == "__main__":
    main()
