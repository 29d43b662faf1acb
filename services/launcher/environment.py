"""What an engine sees of the launcher's environment: a list of what it may, so that no secret of Assay's is among it."""

from collections.abc import Mapping

from shared.children import child_environment

_NAMES = frozenset(
    {
        *("USER", "LOGNAME", "VIRTUAL_ENV", "XDG_CACHE_HOME", "TORCH_HOME", "TRITON_CACHE_DIR", "SSL_CERT_FILE"),
        *("SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy"),
        "ASSAY_STACK",  # so that what a crashed embedded stack left is found
    }
)
_PREFIXES = (
    *("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "ROCM_", "HSA_"),
    *("OMP_", "MKL_", "OPENBLAS_", "TOKENIZERS_", "PYTORCH_", "TORCH_", "TORCHINDUCTOR_"),
    *("HF_", "TRANSFORMERS_", "VLLM_", "SGLANG_", "SGL_", "LLAMA_", "GGML_"),
)
_SECRET = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


def engine_environment(own: Mapping[str, str], extra: Mapping[str, str], hf_token: str | None) -> dict[str, str]:
    """The engine's variables: what it may see of `own`, the template's `extra`, and the Hub's token as HF_TOKEN."""
    seen = {
        name: value
        for name, value in own.items()
        if name in _NAMES or (name.startswith(_PREFIXES) and not name.endswith(_SECRET))
    }
    token = {"HF_TOKEN": hf_token} if hf_token else {}
    # Lines are to come as they are printed.
    return {**child_environment(own), **seen, "PYTHONUNBUFFERED": "1", **token, **extra}
