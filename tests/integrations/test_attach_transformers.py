"""``attach`` in models of transformers of several families, against a hook written by hand around the space."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)

from isospan.errors import OptionError
from isospan.integrations import attach
from isospan.subspaces import solve_subspaces

D, NEW = 32, 6
SIZES = {"hidden_size": D, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}


def gpt2():
    model = GPT2LMHeadModel(GPT2Config(n_embd=D, n_layer=2, n_head=2, n_positions=64, **WORDS))
    return model, model.transformer.h[0]


def llama():
    model = LlamaForCausalLM(LlamaConfig(**SIZES, **WORDS))
    return model, model.model.layers[0]


def qwen2():
    model = Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=1, **SIZES, **WORDS))
    return model, model.model.layers[1]


def t5():
    words = WORDS | {"decoder_start_token_id": 0}
    model = T5ForConditionalGeneration(T5Config(d_model=D, d_ff=48, d_kv=16, num_layers=2, num_heads=2, **words))
    return model, model.decoder.block[0]


def bert():
    model = BertModel(BertConfig(vocab_size=50, **SIZES))
    return model, model.encoder


def vit():
    model = ViTModel(ViTConfig(image_size=16, patch_size=8, **SIZES))
    return model, model.layernorm


def space(seed=0):
    """Of states with the size of those of a model at initialisation."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(400, D, generator=g)
    noise = torch.randn(400, 3, generator=g)
    return solve_subspaces(
        z, {"a": z[:, 0] + 0.1 * noise[:, 0], "b": z[:, 1:3] + 0.1 * noise[:, 1:]}, k={"a": 1, "b": 2}
    )


class ByHand:
    """A hook that applies the methods of the space to the first tensor, and keeps what it decodes."""

    def __init__(self, module: nn.Module, change) -> None:
        self.change, self.values, self.latents = change, [], []
        self.handle = module.register_forward_hook(self)

    def __call__(self, module, args, output):
        z = output if isinstance(output, Tensor) else output[0]
        self.latents.append(z)
        changed = self.change(z)
        if isinstance(output, Tensor):
            return changed
        if isinstance(output, tuple):
            return (changed, *output[1:])
        output.last_hidden_state = changed
        return output


@pytest.mark.parametrize("build", [gpt2, llama, qwen2, t5], ids=lambda build: build.__name__)
@pytest.mark.parametrize("way", ["edit", "function", "erase"])
def test_every_token_of_generate_is_read_and_changed(build, way):
    model, module = build()
    model.eval()
    s, ids = space(), torch.arange(2, 12).reshape(2, 5)
    options, change = {
        "edit": ({"edit": {"a": 3.0}}, lambda z: s.edit(z, {"a": 3.0})),
        "function": ({"edit": {"a": lambda a: 2 * a}}, lambda z: s.edit(z, {"a": 2 * s.decode(z)["a"]})),
        "erase": ({"erase": ["b"], "edit": {"a": 1.0}}, lambda z: s.edit(s.erase(z, "b"), {"a": 1.0})),
    }[way]
    generation = {"max_new_tokens": NEW, "do_sample": False, "output_scores": True, "return_dict_in_generate": True}
    with attach(module, s, read=["a", "b"], **options) as seen, attach(module, s, read="a") as after:
        got = model.generate(ids, **generation)
    by_hand = ByHand(module, change)
    expected = model.generate(ids, **generation)
    by_hand.handle.remove()
    assert torch.equal(got.sequences, expected.sequences)
    # float32 through the layers above
    assert_close(torch.stack(got.scores), torch.stack(expected.scores), rtol=1e-4, atol=1e-4)
    tokens = [1 if build is t5 else 5, *[1] * (NEW - 1)]  # the first call has all of the prompt
    assert [value.shape for value in seen["a"]] == [(2, n) for n in tokens]
    for a, b, z in zip(seen["a"], seen["b"], by_hand.latents, strict=True):
        assert_close(a, s.decode(z)["a"], rtol=1e-4, atol=1e-4)
        assert_close(b, s.decode(z)["b"], rtol=1e-4, atol=1e-4)
    for value, z in zip(after["a"], by_hand.latents, strict=True):
        assert_close(value, s.decode(change(z))["a"], rtol=1e-4, atol=1e-4)
    plain = model.generate(ids, **generation)
    assert not torch.allclose(torch.stack(plain.scores), torch.stack(got.scores))


@pytest.mark.parametrize("build", [bert, vit], ids=lambda build: build.__name__)
def test_encoders_of_text_and_images(build):
    """Of BERT the encoder, which returns a dataclass; of ViT the last norm, a tensor."""
    model, module = build()
    model.eval()
    s = space()
    x = torch.arange(2, 12).reshape(2, 5) if build is bert else torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        plain = model(x)
        with attach(module, s, read="a", edit={"a": 3.0}, erase="b") as seen:
            got = model(x)
        by_hand = ByHand(module, lambda z: s.edit(s.erase(z, "b"), {"a": 3.0}))
        expected = model(x)
        by_hand.handle.remove()
    assert type(got) is type(plain)
    assert_close(got.last_hidden_state, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    assert_close(seen["a"][0], s.decode(by_hand.latents[0])["a"], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain.last_hidden_state, got.last_hidden_state)


def test_a_whole_model_lists_its_hidden_states():
    model, _ = bert()
    ids = torch.arange(2, 12).reshape(2, 5)
    s, listed = space(), r"'last_hidden_state' \(2, 5, 32\), 'pooler_output' \(2, 32\)"
    with attach(model, s, edit={"a": 1.0}), pytest.raises(OptionError, match=listed):
        model(ids)
    with attach(model.eval(), s, edit={"a": 1.0}, output="hidden_states.1"):
        got = model(ids, output_hidden_states=True)
    plain = model(ids, output_hidden_states=True)
    assert_close(s.decode(got.hidden_states[1])["a"], torch.ones(2, 5))
    assert torch.equal(got.hidden_states[2], plain.hidden_states[2])


def test_a_bf16_model_stays_in_bf16():
    model, module = gpt2()
    model = model.to(torch.bfloat16).eval()
    with attach(module, space(), edit={"a": 3.0}), attach(module, space(), read="a") as after:
        got = model(torch.arange(5)[None])
    assert got.logits.dtype == torch.bfloat16
    assert_close(after["a"][0], torch.full((1, 5), 3.0), rtol=0, atol=0.03)  # bf16 has 8 bits


def test_a_gradient_reaches_the_layers_below_an_edit():
    model, module = llama()
    s = space()
    with attach(module, s, edit={"a": 3.0}):
        model(torch.arange(5)[None], labels=torch.arange(5)[None]).loss.backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0
