"""What a checkpoint says by greedy decoding, told by transformers alone: `python answers.py < QUESTIONS`.

Standard input and output are JSON: `[{"folder": ..., "max_tokens": n, "chats": [[{"role": ..., "content": ...}, ...], ...]}, ...]`, and for
each its answers, `[[text, ...], ...]`.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def answers(folder: str, max_tokens: int, chats: list[list[dict[str, str]]]) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    said = []
    for chat in chats:
        asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            tokens = model.generate(**asked, do_sample=False, max_new_tokens=max_tokens)
        said.append(tokenizer.decode(tokens[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
    return said


if __name__ == "__main__":
    json.dump([answers(**question) for question in json.load(sys.stdin)], sys.stdout)
