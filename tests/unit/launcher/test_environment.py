"""What an engine sees of the launcher's environment."""

from services.launcher.environment import engine_environment


def test_it_sees_what_it_may_and_no_secret() -> None:
    own = {
        "PATH": "/bin", "HOME": "/home/a", "LANG": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/cache",
        "HF_ENDPOINT": "http://127.0.0.1:9", "https_proxy": "http://proxy", "OMP_NUM_THREADS": "1", "ASSAY_STACK": "/data",
        "ASSAY_NATS_TOKEN": "x", "ASSAY_S3_SECRET_KEY": "x", "ASSAY_DATA": "x", "HF_TOKEN": "x", "VLLM_API_KEY": "x",
        "AWS_SECRET_ACCESS_KEY": "x", "OPENAI_API_KEY": "x", "MONGO_PASSWORD": "x", "ANYTHING": "x",
    }  # fmt: skip
    seen = engine_environment(own, {"OMP_NUM_THREADS": "4"}, None)
    assert "x" not in seen.values()
    assert seen == {
        "PATH": "/bin", "HOME": "/home/a", "LANG": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/cache",
        "HF_ENDPOINT": "http://127.0.0.1:9", "https_proxy": "http://proxy", "OMP_NUM_THREADS": "4", "ASSAY_STACK": "/data",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    assert engine_environment(own, {}, "hf_given")["HF_TOKEN"] == "hf_given"
