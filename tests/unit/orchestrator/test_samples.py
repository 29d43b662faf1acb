"""Jobs as they are published are what predictors read."""

from services.orchestrator.samples import Jobs
from shared.contracts import ChatMessage, Job
from shared.scoring import ChoiceScoring

EVALUATION = {
    "_id": "e4b92d8e78413a498",
    "model": "m1",
    "round": 2,
    "params": {"temperature": 0.0, "stop": ["\n"]},
    "scoring": {"scorer": "choice", "choices": "options"},
}
ITEM = {
    "_id": "slug@v:test:17",
    "index": 17,
    "item_id": "b-17",
    "messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Qué\u2028\N{PILE OF POO}?"}],
    "target": "B",
    "hints": {"options": ["one", "two"]},
}


def test_a_published_job_reads_back_as_the_job() -> None:
    sent = Jobs(EVALUATION, dispatch=3).make(ITEM, sample=1)
    read = Job.model_validate_json(sent.payload)
    assert read == Job(
        evaluation="e4b92d8e78413a498",
        model="m1",
        index=17,
        sample=1,
        round=2,
        dispatch=3,
        item_id="b-17",
        target="B",
        hints={"options": ["one", "two"]},
        scoring=ChoiceScoring(scorer="choice", choices="options"),
        messages=[
            ChatMessage(role="system", content="Answer."),
            ChatMessage(role="user", content="Qué\u2028\N{PILE OF POO}?"),
        ],
        params={"temperature": 0.0, "stop": ["\n"]},
    )
    assert sent.message_id == read.message_id()


def test_jobs_of_one_evaluation_do_not_run_into_each_other() -> None:
    jobs = Jobs(EVALUATION, dispatch=0)
    first, second = jobs.make(ITEM, 0), jobs.make({**ITEM, "index": 18, "item_id": "b-18"}, 0)
    assert [Job.model_validate_json(job.payload).item_id for job in (first, second)] == ["b-17", "b-18"]
    assert first.message_id != second.message_id


def test_what_was_asked_travels_to_the_judge() -> None:
    judged = {**EVALUATION, "scoring": {"scorer": "judge", "rubric": "{{ input }} {{ output }}"}, "judge": "m2"}
    job = Job.model_validate_json(Jobs(judged, dispatch=0).make({**ITEM, "input": "Qué?"}, 0).payload)
    assert (job.model, job.judge) == ("m1", "m2")
    assert job.hints == {"input": "Qué?", "options": ["one", "two"]}
