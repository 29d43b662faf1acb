"""Examples of answers in the contract."""

from typing import Any

ENVIRONMENT: dict[str, Any] = {
    "slug": "word-problems",
    "version": "9f2c4b7a1d3e",
    "title": "Word problems",
    "description": "Arithmetic in sentences",
    "tags": ["math"],
    "phases": [{"name": "dev", "description": "", "items": 100, "start": None, "end": None, "max_submissions": None}],
    "created_at": "2026-01-02T03:04:05Z",
}

ENVIRONMENT_DETAIL: dict[str, Any] = {
    **ENVIRONMENT,
    "overview": "# Word problems",
    "scoring": {"scorer": "numeric", "tolerance": 0},
    "generation": {"temperature": 0, "max_tokens": 256},
    "columns": [{"key": "overall_score", "title": "Score", "sorting": "desc", "precision": 4}],
    "versions": [{"version": "9f2c4b7a1d3e", "created_at": "2026-01-02T03:04:05Z"}],
}

PARKED: dict[str, Any] = {
    "id": "7",
    "subject": "predictions.e4b92d8e78413a498",
    "evaluation": "e4b92d8e78413a498",
    "reason": "the prediction cannot be read: outcome: Field required",
    "parked_by": "scorer",
    "parked_at": "2026-01-02T03:04:05Z",
    "message_id": "e4b92d8e78413a498:17:0:0:0",
    "size": 512,
    "replayable": True,
}

MODEL: dict[str, Any] = {
    "id": "m5f3a9c1e7b2d4f60",
    "name": "m0.26",
    "source": "running",
    "base_url": "http://127.0.0.1:11434/v1",
    "model": "qwen2.5:7b",
    "tags": ["7b"],
    "owner": "evaluation team",
    "settings_version": 2,
    "published_at": None,
    "withdrawn_at": None,
    "kept_in_file": False,
    "has_api_key": False,
    "api_key_env": None,
    "api": "chat",
    "stream": False,
    "max_concurrency": "auto",
    "concurrency_ceiling": 256,
    "requests_per_minute": None,
    "timeout_s": 120,
    "connect_timeout_s": 10,
    "max_attempts": 5,
    "price": None,
    "status": "running",
    "status_detail": "answers",
    "status_since": "2026-01-02T03:04:05Z",
    "last_error": "cannot connect: connection refused",
    "last_error_at": "2026-01-02T03:01:15Z",
    "latency_ms": 12.5,
    "pacing": {
        "mode": "auto",
        "limit": 40,
        "in_flight": 38.7,
        "calls_per_s": 193.5,
        "latency_ms": 200.1,
        "calls": 12043,
        "refused": 31,
        "updated_at": "2026-01-02T03:04:09Z",
    },
    "created_at": "2026-01-02T03:04:05Z",
}

MODEL_WITH_ENGINE: dict[str, Any] = {
    **MODEL,
    "source": "trained",
    "engine": {
        "name": "vllm",
        "checkpoint": "/models/m0.26",
        "adapter": None,
        "revision": None,
        "args": ["--max-model-len", "8192"],
        "start_timeout_s": 600,
        "idle_stop_s": 300,
    },
    "base_url": None,
    "model": "m0.26",
    "status": "starting",
    "status_detail": "loading, 12 s",
    "latency_ms": None,
    "pacing": None,
}

ENGINE: dict[str, Any] = {
    "name": "vllm",
    "title": "vLLM",
    "takes": ["folder", "s3", "hub", "adapter"],
    "missing": "vllm is not on the PATH of the launcher; pip install vllm",
}

ENGINE_LOG: dict[str, Any] = {
    "lines": ["Loading safetensors checkpoint shards: 50% (1/2)", "Application startup complete."]
}

SETTINGS_VERSION: dict[str, Any] = {
    "version": 2,
    "created_at": "2026-01-02T04:05:06Z",
    "settings": {
        "base_url": "http://127.0.0.1:11434/v1",
        "model": "qwen2.5:7b",
        "api": "chat",
        "max_concurrency": "auto",
        "timeout_s": 120,
        "api_key": False,
    },
    "changes": [{"name": "timeout_s", "before": 60, "after": 120}],
}

ENDPOINT_MODELS: dict[str, Any] = {"registered": [MODEL], "present": []}

LOCAL_ENDPOINT: dict[str, Any] = {
    "server": "Ollama",
    "base_url": "http://127.0.0.1:11434/v1",
    "models": ["qwen2.5:7b"],
    "registered": [],
    "needs_key": False,
}

EVALUATION: dict[str, Any] = {
    "id": "e0c9d1b2a3f4e5d6",
    "number": 678,
    "group": "g7a6b5c4d3e2f1a0",
    "status": "completed",
    "error": None,
    "model": "m5f3a9c1e7b2d4f60",
    "model_name": "m0.26",
    "model_settings_version": 2,
    "judge": None,
    "judge_name": None,
    "judge_settings_version": None,
    "environment": "word-problems",
    "environment_version": "9f2c4b7a1d3e",
    "environment_title": "Word problems",
    "phase": "dev",
    "params": {"temperature": 0, "max_tokens": 256},
    "limit": None,
    "samples_per_item": 1,
    "priority": 1,
    "round": 0,
    "created_at": "2026-01-02T03:04:05Z",
    "started_at": "2026-01-02T03:04:06Z",
    "finished_at": "2026-01-02T03:05:00Z",
    "progress": {
        "done": 100,
        "total": 100,
        "scored": 99,
        "no_answer": 1,
        "model_error": 0,
        "infra_error": 0,
        "correct": 26,
    },
    "metrics": {"overall_score": 0.26, "accuracy": 0.26, "coverage": 1.0, "duration_s": 55.0},
    "files": [],
}

RESULT: dict[str, Any] = {
    "item_id": "1",
    "sample": 0,
    "index": 0,
    "input": "What is 7 + 5?",
    "target": "12",
    "prediction": "12",
    "output": "It is 12.",
    "correct": True,
    "scores": {"accuracy": 1.0},
    "outcome": "scored",
    "error": None,
    "finish_reason": "stop",
    "attempts": 1,
    "latency_ms": 80.1,
    "ttft_ms": None,
    "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17},
    "detail": None,
    "judge": [],
    "samples": None,
}

FILE: dict[str, Any] = {
    "name": "predictions.jsonl",
    "kind": "predictions",
    "size": 20480,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "content_type": "application/x-ndjson",
}

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0b7d6f1e",
    "source": "/assay/orchestrator",
    "type": "assay.evaluation.progress",
    "subject": "evaluations/e0c9d1b2a3f4e5d6",
    "time": "2026-01-02T03:04:10Z",
    "datacontenttype": "application/json",
    "data": {"done": 10, "total": 100, "percent": 10, "message": "Processing: 10/100 (10%)"},
    "cursor": "4711",
}

LEADERBOARD: dict[str, Any] = {
    "environment": "word-problems",
    "phase": "dev",
    "version": "9f2c4b7a1d3e",
    "submission_rule": "all",
    "columns": ENVIRONMENT_DETAIL["columns"],
    "items": [
        {
            "rank": 1,
            "tied": False,
            "partial": False,
            "evaluation": EVALUATION["id"],
            "number": 678,
            "model": MODEL["id"],
            "model_name": "m0.26",
            "judge_name": None,
            "environment_version": "9f2c4b7a1d3e",
            "overall_score": 0.26,
            "accuracy": 0.26,
            "accuracy_ci95": [0.184, 0.354],
            "coverage": 1.0,
            "total": 100,
            "finished_at": "2026-01-02T03:05:00Z",
            "listed_at": None,
            "scores": {"overall_score": 0.26},
            "intervals": {"overall_score": [0.184, 0.354]},
        }
    ],
    "next": None,
}


def page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next": None}


CASE: dict[str, Any] = {
    "item_id": "1",
    "index": 0,
    "messages": [{"role": "user", "content": "What is 7 + 5?"}],
    "gold": "12",
    "target": "12",
    "metadata": {},
    "total": 1,
    "cut": [],
    "samples": [
        {
            **{
                name: RESULT[name]
                for name in ("sample", "prediction", "output", "correct", "scores", "outcome", "error")
            },
            **{
                name: RESULT[name]
                for name in ("finish_reason", "attempts", "latency_ms", "ttft_ms", "usage", "detail", "judge")
            },
            "reasoning": None,
            "round": 0,
            "started_at": "2026-01-02T03:04:06Z",
            "landed_at": "2026-01-02T03:04:07Z",
            "difference": None,
            "cut": [],
        }
    ],
}
