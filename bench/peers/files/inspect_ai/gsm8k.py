"""GSM8K over a local file, with the scorer that Inspect has for numbers."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.scorer import match
from inspect_ai.solver import generate, prompt_template


def sample(row: dict) -> Sample:
    return Sample(input=row["question"], target=row["answer"].rpartition("####")[2].strip().replace(",", ""))


@task
def gsm8k(data: str) -> Task:
    asked = prompt_template("{prompt}\n\nEnd with the answer as a number.")
    return Task(dataset=json_dataset(data, sample), solver=[asked, generate()], scorer=match(numeric=True))
