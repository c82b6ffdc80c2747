"""Trainings and refusals that run alike in one process with the whole batch and in several with a part each.

Every case is called as ``case(rank, world)`` and returns tensors: under "whole" what must be the same in every process
as in a single one, under "rows" what belongs to the samples of this process, and under "bits" what must be the same in
every process to the last bit. Cases whose name begins with ``only_`` mean something with several processes alone.
"""

import copy
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from isospan.compat.spacelearn._solve import solve_from_moments, solve_subspaces
from isospan.errors import DegenerateDataError, NonFiniteError, OptionError, ShapeError
from isospan.guided import EverySteps, SpaceObjective
from isospan.guided.losses import combined_loss
from isospan.integrations import Means
from isospan.moments import Moments

N_INPUTS, D = 9, 8
K = {"b": 2, "a": 1}
# samples of each process, by the number of processes
EVEN = {1: [24], 2: [12, 12], 3: [8, 8, 8]}
UNEVEN = {1: [24], 2: [17, 7], 3: [11, 4, 9]}
LONELY = {1: [24], 2: [23, 1], 3: [12, 1, 11]}
EMPTY = {1: [24], 2: [24, 0], 3: [13, 0, 11]}


def data(seed, n=24, dtype=torch.float64, offset=0.0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, N_INPUTS, generator=g, dtype=torch.float64)
    noise = torch.randn(n, 4, generator=g, dtype=torch.float64)
    b = torch.stack([x[:, 0] + x[:, 1], x[:, 2] ** 2, x[:, 3]], 1) + 0.3 * noise[:, :3]
    a = x[:, 4] + 0.1 * noise[:, 3]
    y = {"b": 1e3 * (b.unsqueeze(2) + offset), "a": 1e-2 * (a + offset)}
    return (x + offset).to(dtype), {name: t.to(dtype) for name, t in y.items()}


def part(rank, sizes, x, y):
    rows = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    return x[rows], {name: t[rows] for name, t in y.items()}


def encoder(dtype=torch.float64):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(N_INPUTS, 16), nn.Tanh(), nn.Linear(16, D)).to(dtype)


def plain(**options):
    return SpaceObjective.plain(K, D, **{"schedule": EverySteps(3), "memory": 240} | options)


def objective(**options):
    return SpaceObjective(K, D, **{"schedule": EverySteps(3), "memory": 240} | options)


def task_loss(z, n, world):
    """The share of these samples in a mean over all, times the number of processes, whose average is taken."""
    return world * (z - 1).square().sum() / (n * D)


def flat(model):
    """The gradients of all parameters in one vector."""
    gradients = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in model.parameters()]
    return torch.cat([gradient.flatten() for gradient in gradients])


def wrapped(model, rank, world, how):
    """The model whose gradients are averaged over processes, and a function to call after the backward pass."""
    if world == 1 or how == "nothing":
        return model
    if how == "ddp":
        return DistributedDataParallel(model)
    if how == "fsdp":
        from torch.distributed.fsdp import fully_shard

        return fully_shard(model, mesh=dist.init_device_mesh("cpu", (world,)))
    return model


def averaged(model, world):
    """What plain torchrun users do themselves."""
    for p in model.parameters():
        dist.all_reduce(p.grad)
        p.grad /= world


def train(
    rank, world, obj, *, split=EVEN, how="ddp", dtype=torch.float64, steps=7, use_total=True, start=0, model=None
):
    sizes = split[world]
    model = model or encoder(dtype)
    net = wrapped(model, rank, world, how)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
    losses, weights = [], []
    for step in range(start, start + steps):
        x, y = part(rank, sizes, *data(step, dtype=dtype))
        z = net(x)
        loss = obj.total_loss(task_loss(z, sum(sizes), world), z, y) if use_total else obj(z, y)
        optimizer.zero_grad()
        loss.backward()
        if how == "torchrun" and world > 1:
            averaged(net, world)
        optimizer.step()
        losses.append(obj.terms.get("total", loss.detach() * 0))
        weights.append(obj.terms.get("weight", loss.detach() * 0))
    obj.end_epoch()
    terms = {f"term {name}": value for name, value in obj.terms.items() if name != "task"}
    whole = {"losses": torch.stack(losses), "weights": torch.stack(weights), "gradients": flat(net), **terms}
    whole |= {name: t for name, t in obj.state_dict().items() if t.is_floating_point()}
    return {"whole": whole, "bits": obj.state_dict()}


def ddp_default(rank, world):
    return train(rank, world, objective())


def ddp_uneven(rank, world):
    return train(rank, world, objective(), split=UNEVEN)


def ddp_orthogonal_with_separation(rank, world):
    return train(rank, world, objective(orthogonal=True), split=UNEVEN)


def ddp_with_a_full_memory(rank, world):
    """Where one process collects the samples of a period and several add each batch at once."""
    return train(rank, world, objective(memory=200), split=UNEVEN, steps=16)


def ddp_plain(rank, world):
    return train(rank, world, plain(), split=UNEVEN)


def ddp_plain_guidance_alone(rank, world):
    return train(rank, world, plain(), split=UNEVEN, use_total=False)


def ddp_one_sample_on_a_rank(rank, world):
    return train(rank, world, plain(), split=LONELY)


def ddp_no_sample_on_a_rank(rank, world):
    return train(rank, world, objective(), split=EMPTY)


def ddp_correlation(rank, world):
    return train(rank, world, objective(method="correlation", decoders="frozen"), split=UNEVEN, use_total=False)


def ddp_default_in_float32(rank, world):
    return train(rank, world, objective(), split=UNEVEN, dtype=torch.float32, steps=4)


def ddp_plain_in_float32(rank, world):
    return train(rank, world, plain(), split=UNEVEN, dtype=torch.float32, steps=4)


def torchrun_without_a_wrapper(rank, world):
    return train(rank, world, objective(), split=UNEVEN, how="torchrun")


def fsdp(rank, world):
    return train(rank, world, objective(), split=UNEVEN, how="fsdp")


def fsdp_plain_guidance_alone(rank, world):
    return train(rank, world, plain(), how="fsdp", use_total=False)


class Guided(nn.Module):
    """A model that holds its objective."""

    def __init__(self):
        super().__init__()
        self.encoder, self.objective = encoder(), objective()

    def forward(self, x, y, n, world):
        z = self.encoder(x)
        return self.objective.total_loss(task_loss(z, n, world), z, y)


def _model_that_holds_its_objective(rank, world, how):
    sizes, model = UNEVEN[world], Guided()
    net = wrapped(model, rank, world, how)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
    for step in range(7):
        optimizer.zero_grad()
        net(*part(rank, sizes, *data(step)), sum(sizes), world).backward()
        optimizer.step()
    model.objective.end_epoch()
    state = model.objective.state_dict()
    return {
        "whole": {"gradients": flat(model)} | {n: t for n, t in state.items() if t.is_floating_point()},
        "bits": state,
    }


def ddp_model_that_holds_its_objective(rank, world):
    return _model_that_holds_its_objective(rank, world, "ddp")


def fsdp_model_that_holds_its_objective(rank, world):
    return _model_that_holds_its_objective(rank, world, "fsdp")


def accumulated_gradients(rank, world):
    """Two micro-batches a step, the first without synchronisation."""
    sizes, model, obj = UNEVEN[world], encoder(), objective()
    net = wrapped(model, rank, world, "ddp")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for step in range(4):
        optimizer.zero_grad()
        for micro in range(2):
            with net.no_sync() if world > 1 and micro == 0 else nullcontext():
                x, y = part(rank, sizes, *data(2 * step + micro))
                z = net(x)
                (obj.total_loss(task_loss(z, sum(sizes), world), z, y) / 2).backward()
        optimizer.step()
    obj.end_epoch()
    return {"whole": {"gradients": flat(model), "log_ratio": obj.balance.log_ratio}, "bits": obj.state_dict()}


def evaluation_on_one_rank(rank, world):
    """What only the first process does in the middle of training disturbs nobody."""
    obj, model = objective(), encoder()
    net = wrapped(model, rank, world, "ddp")
    first = train(rank, world, obj, how="nothing", model=net, steps=5)
    if rank == 0:
        x, y = data(99)
        obj.eval()
        with torch.no_grad():
            first["whole"]["validation"] = obj(model(x), y)
            obj.total_loss(model(x).sum(), model(x), y)
            first["whole"]["decoded"] = obj.space.decode(model(x))["a"]
        obj.train()
    rest = train(rank, world, obj, how="nothing", model=net, steps=3, start=5)
    only_first = {f"first {k}": v for k, v in first["whole"].items()} if rank == 0 else {}
    return {"whole": rest["whole"] | only_first, "bits": rest["bits"]}


def solve_and_epochs(rank, world):
    x, y = part(rank, UNEVEN[world], *data(0))
    obj = objective(schedule=EverySteps(1000))
    space = obj.solve(x[:, :D], y)
    obj.end_epoch()
    kinds = {"W": space.W, "A": space.A, "y_mean": space.y_mean, "y_scale": space.y_scale}
    moved = {f"{kind}{name}": t for kind, tensors in kinds.items() for name, t in tensors.items()}
    return {"whole": moved | {"z_mean": space.z_mean}, "bits": obj.state_dict() | moved}


def resumed_from_the_first_rank(rank, world):
    """Every process loads what the first one saved after an epoch; nothing differs from a run that went on."""
    obj = objective()
    model = encoder()
    train(rank, world, obj, split=UNEVEN, steps=5, how="torchrun", model=model)
    obj.end_epoch()
    saved = copy.deepcopy(obj.state_dict())
    if world > 1:
        box = [saved]
        dist.broadcast_object_list(box, src=0)
        obj = objective()
        obj.load_state_dict(box[0])
    return train(rank, world, obj, split=UNEVEN, steps=4, start=5, how="torchrun", model=model)


def moments_with_an_offset_and_an_empty_rank(rank, world):
    """Moments of all processes, in several batches each, of data with an offset of 10⁶."""
    x, y = part(rank, EMPTY[world], *data(0, offset=1e6))
    m = Moments(N_INPUTS, {"b": 3, "a": 1}, target_covariance=True)
    for rows in (slice(0, 5), slice(5, 6), slice(6, None)):
        if len(x[rows]):
            m.update(x[rows], {name: t[rows] for name, t in y.items()})
    m.all_reduce_()
    space = solve_from_moments(m, {"b": 2, "a": 1}, method="regression")
    solved = {f"{kind}{n}": t for kind, held in (("W", space.W), ("A", space.A)) for n, t in held.items()}
    symmetric = {"zz": (m.scatter_zz - m.scatter_zz.mT), "yy": (m.scatter_yy - m.scatter_yy.mT)}
    return {"whole": solved | symmetric | {"count": m.count}, "bits": dict(m.named_buffers())}


def lacking(y, seed):
    """Quantities of which a half of the samples has each; of the second half of the samples, none has a."""
    g, y = torch.Generator().manual_seed(seed), {name: t.clone() for name, t in y.items()}
    for t in y.values():
        t[torch.rand(len(t), generator=g) < 0.5] = torch.nan
    y["a"][len(y["a"]) // 2 :] = torch.nan
    return y


def moments_of_partly_labelled_samples(rank, world):
    x, y = data(0)
    weights = torch.arange(24) % 3
    x, y = part(rank, EMPTY[world], x, lacking(y, 0) | {"weights": weights})
    m = Moments(N_INPUTS, {"b": 3, "a": 1}, target_covariance=True, missing="skip")
    if len(x):
        m.update(x, {name: y[name] for name in "ba"}, weights=y["weights"])
    m.all_reduce_()
    return {"whole": dict(m.named_buffers()), "bits": dict(m.named_buffers())}


def partly_labelled(rank, world, obj, *, weighted, skips, sizes=UNEVEN):
    """Losses and gradients of a stream, whose blocks of the memory end within batches."""
    results, rows = {}, {}
    for step in range(9):
        x, y = data(step)
        y = lacking(y, step) if skips else y
        x, y = part(rank, sizes[world], x, y | {"weights": (torch.arange(24) + step) % 3 + 0.25})
        z = x[:, :D].clone().requires_grad_()
        loss = obj(z, {name: y[name] for name in "ba"}, weights=y["weights"] if weighted else None)
        loss.backward()
        results[f"loss {step}"] = loss.detach()
        rows[f"gradient {step}"] = (torch.zeros_like(z) if z.grad is None else z.grad) / world
    space = obj.space
    read = {f"{kind}{n}": t for kind, held in (("A", space.A), ("y", space.y_mean)) for n, t in held.items()}
    return {"whole": results | dict(obj.moments.named_buffers()) | read, "rows": rows, "bits": obj.state_dict()}


def guidance_by_partly_labelled_samples(rank, world):
    return partly_labelled(rank, world, objective(missing="skip"), weighted=False, skips=True)


def guidance_by_partly_labelled_weighted_samples(rank, world):
    obj = objective(missing="skip", orthogonal=True, memory=160)
    return partly_labelled(rank, world, obj, weighted=True, skips=True, sizes=EMPTY)


def guidance_by_weighted_samples(rank, world):
    return partly_labelled(rank, world, objective(memory=160), weighted=True, skips=False)


def guidance_by_class_labels(rank, world):
    obj, results = SpaceObjective({"label": 2}, D, classes={"label": 3}, memory=240, missing="skip"), {}
    for step in range(4):
        x, y = part(rank, UNEVEN[world], *data(step))
        label = (y["a"] > 0).long() + (x[:, 0] > 1).long() - 1
        results[f"loss {step}"] = obj(x[:, :D], {"label": label})
    return {"whole": results, "bits": obj.state_dict()}


def moments_of_nothing(rank, world):
    return {"whole": {"count": Moments(3, {"a": 2}).all_reduce_().count}}


def means_of_parts(rank, world):
    """Of unequal parts, in several batches each; one process has nothing to tell, or no term that others have."""
    losses, means = part(rank, EMPTY[world], *data(0))[0], Means()
    for batch in losses.split(5):
        if len(batch):
            means.add({"task": batch[:, 0].mean(), "other": batch[:, 1].mean()}, samples=len(batch))
    found = means.all_reduce_().read()
    return {"whole": {name: torch.tensor(value) for name, value in found.items()}, "true": len(found) == 2}


def combined_losses(rank, world):
    """All four terms, both forms of isotropy, by the rows of each process."""
    sizes, results, rows = UNEVEN[world], {}, {}
    x, y = data(0, dtype=torch.float64)
    space = solve_subspaces(x, y, k=K)
    older = solve_subspaces(*data(1), k=K).W
    z, own = part(rank, sizes, x, y)
    for isotropy in ("singular", "variance"):
        leaf = z.clone().requires_grad_()
        moments = Moments(N_INPUTS, {"b": 3, "a": 1}).update(z, own).all_reduce_() if world > 1 else None
        options = {"isotropy": isotropy, "unbiased": True, "global_moments": moments}
        terms = combined_loss(leaf, space.W, space.A, own, older, **options, return_terms=True)
        terms["total"].backward()
        results |= {f"{isotropy} {name}": t.detach() for name, t in terms.items()}
        rows[isotropy] = leaf.grad
    return {"whole": results, "rows": rows}


@contextmanager
def refused(error, message):
    try:
        yield
    except error as raised:
        if message not in str(raised):
            raise AssertionError(f"{message!r} is not in {raised}") from raised
    else:
        raise AssertionError(f"No {error.__name__} was raised.")


def only_refusals_are_shared(rank, world):
    """What the last process refuses is raised by all, changes nothing, and training continues."""
    obj, last = objective(), rank == world - 1
    x, y = part(rank, EVEN[world], *data(0))
    z = x[:, :D]
    with refused(NonFiniteError, f"On rank {world - 1}: Latents z must be finite"):
        obj(z * float("nan") if last else z, y)
    with refused(ShapeError, "on rank 0"):
        obj(z, y | {"b": y["b"][:, :2]} if last else y)
    with refused(DegenerateDataError, "got 0 on all processes"):
        obj(z[:0], {n: t[:0] for n, t in y.items()})
    with refused(DegenerateDataError, "got 1 on all processes"):
        obj.solve(z[: 1 - min(rank, 1)], {n: t[: 1 - min(rank, 1)] for n, t in y.items()})
    if obj.moments is not None:
        raise AssertionError("A refused batch has entered the moments.")
    for _ in range(4):
        obj(z, y)
    before = copy.deepcopy(obj.state_dict())
    for call in (obj, obj.solve):
        with refused(NonFiniteError, f"On rank {world - 1}: Targets of quantity 'a'"):
            call(z, y | {"a": y["a"] / 0} if last else y)
    with refused(OptionError, f"On rank {world - 1}: weights must be at least 0"):
        obj(z, y, weights=torch.full((len(z),), -1.0) if last else None)
    with refused(ShapeError, "keep their shapes"):
        obj(z, y | {"b": y["b"][:, :2]} if last else y)
    same = all(torch.equal(t, before[name]) for name, t in obj.state_dict().items())
    obj(z, y, weights=torch.ones(len(z)) if last else None)
    loss = obj(z, y)
    return {"bits": obj.state_dict() | {"loss": loss, "same": torch.tensor(same)}, "true": same}


def only_forces_of_the_step_before_a_refusal(rank, world):
    """A refused batch carries them like any other, so the weight is that of a run without it."""
    found = []
    for refuses in (False, True):
        obj = objective()
        for step in range(4):
            x, y = part(rank, EVEN[world], *data(step))
            z = x[:, :D].requires_grad_()
            if refuses and step == 3:
                with refused(NonFiniteError, "Latents z must be finite"):
                    obj(z * float("nan") if rank == 0 else z, y)
            obj.total_loss(z.square().sum(), z, y).backward()
        obj.synchronize()
        found.append(torch.stack([obj.balance.log_ratio, obj.balance.measured.double()]))
    return {"true": torch.equal(*found) and int(found[0][1]) == 2, "found": found}


def only_moments_of_other_sizes(rank, world):
    with refused(ShapeError, "on rank 1"):
        Moments(3, {"a": 2 if rank == 1 else 1}).all_reduce_()
    with refused(ShapeError, "on rank 0"):
        Moments(3, {"a": 2, "b": 2} if rank == 1 else {"b": 2, "a": 2}).all_reduce_()
    return {}


def only_a_group_of_its_own(rank, world):
    """An objective that keeps to itself does as it does in a single process."""
    groups = [dist.new_group([r]) for r in range(world)]
    own, alone = objective(process_group=groups[rank]), []
    for _ in range(4 + rank):
        x, y = part(rank, UNEVEN[world], *data(0))
        alone.append(own(x[:, :D], y))
    copied = copy.deepcopy(own)
    return {"true": int(own.moments.count) == int(copied.moments.count) and own.ranks.size == 1}


def only_messages_of_a_step(rank, world):
    """What a step sends: two sums, as large as the page on processes says; a solve sends one broadcast more.

    A step in which a block of samples starts sends the sizes of the parts and the two sums of what is left of it.
    """
    obj, sent = objective(memory=8 * 60), []
    real = {name: getattr(dist, name) for name in ("all_reduce", "broadcast", "all_gather_object")}

    def counted(name):
        def send(first, *args, **kwargs):
            sent.append((name, first.numel() * first.element_size() if isinstance(first, torch.Tensor) else 0))
            return real[name](first, *args, **kwargs)

        return send

    x, y = part(rank, UNEVEN[world], *data(0))
    z = x[:, :D].requires_grad_()
    obj(z, y)
    try:
        for name in real:
            setattr(dist, name, counted(name))
        obj.total_loss(z.sum(), z, y).backward()
        step, sent = sent, []
        obj.total_loss(z.sum(), z, y).backward()  # samples 48 to 72
        solve, sent = sent, []
    finally:
        for name, function in real.items():
            setattr(dist, name, function)
    P = 3 + 1
    expected = [("all_reduce", 8 * (D + P + 5)), ("all_reduce", 8 * (D * D + D * P + P))]
    K = 2 + 1
    bases = ("broadcast", 8 * (K * D + K * P + D * P + D + 2 * P))
    cut = [*expected, ("all_gather_object", 0), ("all_reduce", 8 * (D + P + 1)), expected[1]]
    return {"true": step == expected and solve == [*cut, bases], "sent": str((step, solve, expected, bases))}


CASES = {
    case.__name__: case
    for case in (
        ddp_default,
        ddp_uneven,
        ddp_orthogonal_with_separation,
        ddp_with_a_full_memory,
        ddp_plain,
        ddp_plain_guidance_alone,
        ddp_one_sample_on_a_rank,
        ddp_no_sample_on_a_rank,
        ddp_correlation,
        ddp_default_in_float32,
        ddp_plain_in_float32,
        torchrun_without_a_wrapper,
        fsdp,
        fsdp_plain_guidance_alone,
        ddp_model_that_holds_its_objective,
        fsdp_model_that_holds_its_objective,
        accumulated_gradients,
        evaluation_on_one_rank,
        solve_and_epochs,
        resumed_from_the_first_rank,
        moments_with_an_offset_and_an_empty_rank,
        moments_of_partly_labelled_samples,
        guidance_by_partly_labelled_samples,
        guidance_by_partly_labelled_weighted_samples,
        guidance_by_weighted_samples,
        guidance_by_class_labels,
        moments_of_nothing,
        means_of_parts,
        combined_losses,
        only_refusals_are_shared,
        only_forces_of_the_step_before_a_refusal,
        only_moments_of_other_sizes,
        only_a_group_of_its_own,
        only_messages_of_a_step,
    )
}
