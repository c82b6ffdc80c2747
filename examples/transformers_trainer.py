"""Guidance under the Trainer of transformers: a small text classifier that also counts words. Stopped and resumed."""

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments, set_seed

from isospan.evaluation import evaluate
from isospan.guided import SpaceObjective, SubspaceMonitor
from isospan.integrations.transformers import GuidedTrainer

generator = torch.Generator().manual_seed(0)
words = torch.randint(1, 33, (1536, 12), generator=generator)
labels = ((words % 2).sum(1) > 5).long()  # more odd ones?
counts = torch.stack([(words // 9 == kind).sum(1) for kind in range(3)], 1).float()  # of three of four kinds


class Texts(Dataset):
    def __init__(self, rows):
        self.rows = range(len(words))[rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        row = self.rows[i]
        return {"input_ids": words[row], "labels": labels[row], "counts": counts[row]}


def trainer(strength, epochs, monitor=None):
    set_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=33, output_hidden_states=True, **sizes)
    arguments = TrainingArguments(
        f"run-{strength}",
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        gradient_accumulation_steps=2,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        save_strategy="epoch",
        eval_strategy="epoch",
        logging_steps=20,
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    return GuidedTrainer(
        BertForSequenceClassification(config),
        arguments,
        train_dataset=Texts(slice(1024)),
        eval_dataset=Texts(slice(1024, None)),
        objective=SpaceObjective({"counts": 3}, latent_dim=32, strength=strength),
        latents=lambda hidden, inputs: hidden[:, 0],
        quantities=lambda inputs: {"counts": inputs["counts"]},
        monitor=monitor,
    )


def score(trainer):
    with torch.no_grad():
        z = trainer.model.eval()(words, output_hidden_states=True).hidden_states[-1][:, 0]
    fit = z[:1024], {"counts": counts[:1024]}
    return evaluate(trainer.objective.space, z[1024:], {"counts": counts[1024:]}, fit=fit).subspace_r2["counts"]


trainer(1.0, epochs=2, monitor=SubspaceMonitor()).train()
monitor = SubspaceMonitor()
guided, unguided = trainer(1.0, epochs=8, monitor=monitor), trainer(0.0, epochs=8)
guided.train(resume_from_checkpoint=True)
unguided.train()
print({name: value for name, value in guided.state.log_history[-2].items() if "guide" in name})
rotated = [round(max(angles)) for angles in monitor.to_dict()["from_first"]["counts"]]  # before the stop and after it
print(f"largest angle of the subspace of counts to its first: {rotated} degrees")
print(f"held out: counts R2 {score(guided):.3f} guided, {score(unguided):.3f} unguided")
if score(guided) < score(unguided) + 0.1:
    raise SystemExit("guidance did not help")
