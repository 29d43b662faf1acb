"""How answers are scored: a manifest's `scoring` as typed models, one a scorer. What each does is in `services/scorer/`."""

from functools import lru_cache
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from shared.generation import Generation
from shared.strict import Strict

Lane = Literal["inline", "process", "sandbox", "judge"]
"""How the scorer gets at a score: at once, in a worker process with limits, by running code in the sandbox, or by asking another model.
All but the first have a queue of their own each, so that what takes its time holds up nothing else."""


class Scored(Strict):
    """What every way of scoring says of itself."""

    needs_target: ClassVar[bool] = True
    """Whether an item without a gold answer is refused."""

    @property
    def lane(self) -> Lane:
        return "inline"

    @property
    def for_items(self) -> "Scored":
        """What each answer is scored with by itself."""
        return self

    @property
    def item_columns(self) -> tuple[str, ...]:
        """Columns of an item that its scorer needs beside the target; they travel with each sample as `hints`."""
        return ()


class NumericScoring(Scored):
    """The last number of the answer, compared exactly; `tolerance` > 0 allows an absolute difference."""

    scorer: Literal["numeric"]
    tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)


class WithReferences(Scored):
    """`references` names a column with a list of further gold answers, of which the best counts."""

    references: str | None = None

    @property
    def item_columns(self) -> tuple[str, ...]:
        return () if self.references is None else (self.references,)


class ExactMatchScoring(WithReferences):
    """Correct where the whole answer is the target, or one of `references`."""

    scorer: Literal["exact_match"]
    ignore_case: bool = False
    ignore_punctuation: bool = False


class ContainsScoring(WithReferences):
    """Correct where the answer contains the target, or one of `references`: anywhere, or at its beginning or end (`location`).

    With `ignore_punctuation`, punctuation at the ends of the answer and of the target does not count.
    """

    scorer: Literal["contains"]
    ignore_case: bool = True
    ignore_punctuation: bool = False
    location: Literal["any", "begin", "end"] = "any"


class ChoiceScoring(Scored):
    """`choices` names the column that holds an item's choices (a list of texts); the target is a letter, a text of one, or a 0-based index."""

    scorer: Literal["choice"]
    choices: str = "choices"

    @property
    def item_columns(self) -> tuple[str, ...]:
        return (self.choices,)


class RegexScoring(WithReferences):
    """The pattern's first group (or whole match) of the `which` match is the prediction and must equal the target, or one of `references`.

    What `ignore` matches, and punctuation with `ignore_punctuation`, is left out of both beforehand. Without `pattern`, the target itself is
    the pattern, and the answer is correct where it matches; none of the other options but `ignore_case` goes with that.
    """

    scorer: Literal["regex"]
    pattern: str | None = Field(default=None, max_length=10_000)
    which: Literal["first", "last"] = "last"
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore: list[Annotated[str, Field(min_length=1, max_length=10_000)]] = Field(default=[], max_length=20)

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if self.pattern is None and (self.ignore or self.ignore_punctuation or self.references is not None):
            raise ValueError(
                "ignore, ignore_punctuation and references need a pattern: without one, the target is the pattern"
            )
        return self


class F1Scoring(WithReferences):
    """Token F1 as SQuAD computes it; correct from `threshold` on."""

    scorer: Literal["f1"]
    threshold: float = Field(default=1.0, gt=0, le=1)


class RougeScoring(WithReferences):
    """ROUGE F-measures; `variant` is the one that ranks, and correct from `threshold` on."""

    scorer: Literal["rouge"]
    variant: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL"
    stemmer: bool = False
    threshold: float = Field(default=0.5, gt=0, le=1)

    @property
    def lane(self) -> Lane:
        return "process"


class BleuScoring(WithReferences):
    """BLEU, a sentence's for an item and the corpus's for the evaluation, both in 0..1; correct from `threshold` on.

    `tokenize` is one of sacrebleu's tokenizers.
    """

    scorer: Literal["bleu"]
    tokenize: Literal["13a", "char", "intl", "none", "zh"] = "13a"
    lowercase: bool = False
    threshold: float = Field(default=0.5, gt=0, le=1)

    @property
    def lane(self) -> Lane:
        return "process"


class MathScoring(Scored):
    """The answer's mathematical expression is equivalent to the target's: LaTeX, plain numbers, sets, intervals, equations.

    What is named as the final answer or is boxed comes before any other, and else the last one counts. `time_limit_s` is CPU time an item.
    """

    scorer: Literal["math"]
    time_limit_s: float = Field(default=5.0, gt=0, le=60)

    @property
    def lane(self) -> Lane:
        return "process"


class JsonScoring(Scored):
    """The answer is JSON that fits `schema` (a JSON Schema) and whose `fields` (the target's top level, where none are named) equal the target's.

    Correct from a share of `threshold` of them on; numbers may differ by `tolerance`.
    Without a target only the schema counts. `fields` are JSON Pointers, or names of the top level.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)
    needs_target: ClassVar[bool] = False

    scorer: Literal["json"]
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    fields: list[str] | None = Field(default=None, min_length=1)
    tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)
    threshold: float = Field(default=1.0, gt=0, le=1)

    @property
    def lane(self) -> Lane:
        return "process"


class CodeScoring(Scored):
    """The answer is a program that passes an item's unit tests, run in the sandbox; HumanEval's form.

    `tests` names the column with the test code, which defines `check(candidate)` where `entry_point` (a column, too) names the
    function under test, and else fails by raising. `prompt` names the column with the code that the answer continues, if it does.
    """

    needs_target: ClassVar[bool] = False

    scorer: Literal["code"]
    language: Literal["python"] = "python"
    tests: str = "test"
    entry_point: str | None = "entry_point"
    prompt: str | None = None
    time_limit_s: float = Field(default=10.0, gt=0, le=300)
    memory_mb: int = Field(default=512, ge=64, le=8192)

    @property
    def item_columns(self) -> tuple[str, ...]:
        return tuple(column for column in (self.tests, self.entry_point, self.prompt) if column is not None)

    @property
    def lane(self) -> Lane:
        return "sandbox"


class JudgePairwise(Strict):
    """The answer is put beside another one, in the column `against`; with `swap` twice, in both orders, and a win is one in both."""

    against: str
    swap: bool = True


class JudgeScoring(Scored):
    """A judge model gives each answer a score by a rubric.

    `rubric` is a Jinja template over the item's columns in `columns`, `input`, `target` and `output` (pairwise: `output_a`, `output_b`).
    The judge ends with its verdict, read by `pattern`'s first group in its last match: a number of `scale`, scaled to 0..1 and correct
    from `threshold` on, or pairwise `A`, `B` or `tie`. `model` is the judge's name, where the evaluation does not say which.
    """

    needs_target: ClassVar[bool] = False

    scorer: Literal["judge"]
    rubric: str = Field(min_length=1, max_length=100_000)
    system: str | None = None
    columns: list[str] = Field(default=[])
    scale: tuple[float, float] = (0.0, 10.0)
    pattern: str = Field(default=r"(?i)verdict:\s*\**\[*\s*(-?[0-9]+(?:\.[0-9]+)?|A|B|tie)\b", max_length=10_000)
    threshold: float = Field(default=0.5, ge=0, le=1)
    pairwise: JudgePairwise | None = None
    model: str | None = None
    generation: Generation = Generation(temperature=0)

    @property
    def item_columns(self) -> tuple[str, ...]:
        against = () if self.pairwise is None else (self.pairwise.against,)
        return tuple(dict.fromkeys((*self.columns, *against)))

    @property
    def score_name(self) -> str:
        """What a verdict is called among an answer's scores."""
        return "judge" if self.pairwise is None else "win"

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        if not self.scale[0] < self.scale[1]:
            raise ValueError("scale must be [lowest, highest]")
        return self

    @property
    def lane(self) -> Lane:
        return "judge"


class InstalledScoring(Scored):
    """Options of a scorer that another package brings: the base of its class, see docs/scorers.md."""

    main_metric: ClassVar[str] = "accuracy"
    """What `overall_score` is: `accuracy`, or the name of one of its scores."""

    scorer: str

    @property
    def lane(self) -> Lane:
        return "process"


SCORERS = "assay.scorers"
"""The group of entry points under which packages name their scorers, each a subclass of `InstalledScoring` with a method `score`."""


@lru_cache(maxsize=64)
def installed_scoring(name: str) -> type[InstalledScoring] | None:
    """The options of the scorer of this name that another package brings. Raises ValueError where it cannot be used."""
    found = next(iter(entry_points(group=SCORERS, name=name)), None)
    if found is None:
        return None
    try:
        scoring = found.load()
    except Exception as error:
        raise ValueError(
            f"scorer {name!r} is installed, but cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(scoring, type) and issubclass(scoring, InstalledScoring) and hasattr(scoring, "score")):
        raise ValueError(f"scorer {name!r} is installed, but {found.value} is no InstalledScoring with a method score")
    return scoring


class PredictionsFile(Strict):
    """The answers in the form in which a scoring program reads its submissions: a file in `input/res` with a sample a line or row.

    `format` is by default what the ending of `name` says, and `txt` where that is none of them: `jsonl` and `json` (one array) have
    objects, `csv` and `tsv` a header, `txt` nothing but the first field, with its line breaks as spaces. `fields` are the names in the
    file, each with what it holds; `prediction` is what `item_scorer` takes from the `output`, `latency_s` in seconds.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,120}$")
    format: Literal["jsonl", "json", "csv", "tsv", "txt"] | None = None
    fields: dict[
        str,
        Literal[
            "item_id", "index", "sample", "output", "prediction", "outcome", "finish_reason", "latency_s", "latency_ms"
        ],
    ] = Field(min_length=1)

    @property
    def form(self) -> str:
        """`format`, or what stands for it."""
        ending = self.name.rpartition(".")[2].lower()
        return self.format or (ending if ending in ("jsonl", "json", "csv", "tsv") else "txt")


class ProgramScoring(Scored):
    """A scoring program of the bundle, run in the sandbox when all predictions are there: Codabench's contract.

    `program` is its folder (or zip), with `metadata.yaml` or `metadata`; `reference` the folder (or zip) that it finds in `input/ref`.
    `files` also gives it a file an item in `input/res`, `predictions` one file in a form of its own. `item_scorer` scores each answer
    beforehand, for the list of test cases, and without it an answer is correct where it is the item's target, if that has one; the
    scores are the program's. `image` is the container image that the program was made for: it is not used, and is named where the
    program misses a package.
    """

    # A manifest may leave `scorer` out: `program` says it.
    model_config = ConfigDict(extra="forbid", json_schema_extra=lambda schema: schema["required"].remove("scorer"))
    needs_target: ClassVar[bool] = False

    scorer: Literal["program"]
    program: str = Field(min_length=1)
    reference: str | None = Field(default=None, min_length=1)
    image: str | None = None
    files: bool = False
    predictions: PredictionsFile | None = None
    item_scorer: "ItemScoring | None" = None
    time_limit_s: float = Field(default=600.0, gt=0, le=86_400)
    memory_mb: int = Field(default=2048, ge=64, le=65_536)

    @property
    def for_items(self) -> Scored:
        return self if self.item_scorer is None else self.item_scorer

    @property
    def lane(self) -> Lane:
        return "inline" if self.item_scorer is None else self.item_scorer.lane


ItemScoring = Annotated[
    NumericScoring
    | ExactMatchScoring
    | ContainsScoring
    | ChoiceScoring
    | RegexScoring
    | F1Scoring
    | RougeScoring
    | BleuScoring
    | MathScoring
    | JsonScoring
    | CodeScoring,
    Field(discriminator="scorer"),
]
"""Each answer by itself, in the scorer."""


def _installed(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, InstalledScoring):
        return value
    name = value.get("scorer") if isinstance(value, dict) else None
    if not isinstance(name, str) or name in _BUILT_IN or (scoring := installed_scoring(name)) is None:
        return handler(value)
    if unknown := sorted(map(str, value.keys() - scoring.model_fields.keys())):
        # The JSON Schema, which tells of other keys, does not know this one.
        known = ", ".join(sorted(scoring.model_fields))
        raise ValueError(f"unknown key {unknown[0]!r}; the keys of the scorer {name} are {known}")
    return scoring.model_validate(value)


BuiltInScoring = Annotated[
    NumericScoring
    | ExactMatchScoring
    | ContainsScoring
    | ChoiceScoring
    | RegexScoring
    | F1Scoring
    | RougeScoring
    | BleuScoring
    | MathScoring
    | JsonScoring
    | CodeScoring
    | JudgeScoring
    | ProgramScoring,
    Field(discriminator="scorer"),
]

Scoring = Annotated[SerializeAsAny[BuiltInScoring], WrapValidator(_installed)]
"""One of Assay's own, or an `InstalledScoring` whose name none of them has."""

ProgramScoring.model_rebuild()

_BUILT_IN = frozenset(
    name for each in get_args(get_args(BuiltInScoring)[0]) for name in get_args(each.model_fields["scorer"].annotation)
)
