"""Makes the tiny models of the tests: `python make_models.py FOLDER`, with PyTorch and transformers, which Assay itself does not need.

Llama's architecture at a thousandth of its size, with random weights, and a tokenizer trained on a line of text: who loads one says
nothing sensible, but by greedy decoding always the same, and something else than any other checkpoint.

    one/, two/       checkpoints
    adapted/         the weights of one/ with a LoRA adapter beside them
    adapter/         the same adapter alone
    gguf/one.gguf    one/ as llama.cpp reads it
    adapter.gguf     the adapter likewise
"""

import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
LINES = ["Ann has 3 apples and buys 4 more. How many apples does she have? She has 3 + 4 = 7 apples.\n"] * 3
PRINTABLE = sorted(
    {"Ġ", "Ċ", *(chr(code) for code in range(33, 127))}
)  # Ġ and Ċ: how byte-level BPE writes " " and "\n"
LAYERS, HIDDEN, INNER, HEADS, CONTEXT = 2, 32, 64, 4, 2048
WIDE = 0.5  # of the weights' distribution: what is said next then depends on what was said, and is no near tie
RANK, ALPHA = 4, 32
ADAPTED = ["v_proj", "up_proj", "down_proj"]
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE without the bytes that are no printable ASCII: answers are plain text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=["<s>", "</s>"], initial_alphabet=PRINTABLE)
    made.train_from_iterator(LINES, trainer)
    found = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    found.chat_template = CHAT_TEMPLATE
    return found


def checkpoint(seed: int, words: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=WIDE,
    )
    return LlamaForCausalLM(config)


def adapter_of(model: LlamaForCausalLM, folder: Path) -> None:
    """A LoRA adapter with random weights: as it is made, its half that is zero would leave the model as it is."""
    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=ADAPTED, task_type="CAUSAL_LM"))
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=WIDE)
    adapted.save_pretrained(folder)


def as_gguf(folder: Path, file: Path) -> None:
    """The checkpoint in llama.cpp's format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), unquantized."""
    made = json.loads((folder / "tokenizer.json").read_text())
    words = sorted(made["model"]["vocab"], key=made["model"]["vocab"].__getitem__)
    special = {token["content"] for token in made["added_tokens"]}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(merge) for merge in made["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    weights = LlamaForCausalLM.from_pretrained(folder).state_dict()
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, values in weights.items():
        module = name.removesuffix(".weight")
        found = values.numpy()
        if module.endswith(("q_proj", "k_proj")):
            # llama.cpp turns pairs of neighbours, transformers the two halves of a head (its convert_hf_to_gguf.py)
            found = found.reshape(HEADS, 2, HIDDEN // HEADS // 2, HIDDEN).swapaxes(1, 2).reshape(HIDDEN, HIDDEN)
        writer.add_tensor(f"{names.get(module) or in_block(module)}.weight", np.ascontiguousarray(found))
    written(writer)


def adapter_as_gguf(folder: Path, file: Path) -> None:
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA)
    for name, values in load_file(folder / "adapter_model.safetensors").items():
        module, half = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        writer.add_tensor(f"{in_block(module)}.weight.{half.lower()}", values)
    written(writer)


def in_block(module: str) -> str:
    """`model.layers.0.mlp.up_proj` as llama.cpp calls it."""
    number, name = module.removeprefix("model.layers.").split(".", 1)
    return f"blk.{number}.{GGUF_NAMES[name]}"


def written(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(home: Path) -> None:
    words = tokenizer()
    for name, seed in (("one", 1), ("two", 2)):
        words.save_pretrained(home / name)
        checkpoint(seed, len(words)).save_pretrained(home / name)
    adapter_of(LlamaForCausalLM.from_pretrained(home / "one"), home / "adapter")
    shutil.copytree(home / "one", home / "adapted")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(home / "adapter" / file, home / "adapted")
    (home / "gguf").mkdir()
    as_gguf(home / "one", home / "gguf" / "one.gguf")
    adapter_as_gguf(home / "adapter", home / "adapter.gguf")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
