"""Gathered statistics: two processes with half a batch each against one with the whole; and settling."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as processes
import torch.multiprocessing
from torch import Tensor, nn

from nearfield.core.settings import make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.normalization import GatheredBatchNorm, settle, sync_batch_norm

SHARES = [(0, 5), (5, 12)]  # the halves need not be equal


def network() -> nn.Module:
    """One-, two-dimensional and cumulative batch norms, all with statistics worth the name."""
    torch.manual_seed(2)
    cumulative = nn.BatchNorm1d(6, momentum=None)
    plain = nn.BatchNorm2d(4, affine=False)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), plain, nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 16, 6), cumulative,
    ).double()  # fmt: skip


def pictures() -> Tensor:
    return 3 + 2 * torch.randn(12, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def trained(module: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Two forwards and the gradients of a loss that is a sum over the batch."""
    batch = batch.clone().requires_grad_()
    for _ in range(2):
        out = module(batch)
    torch.autograd.backward(torch.tanh(out).pow(3).sum())
    found = {f"gradient of {name}": weight.grad for name, weight in module.named_parameters()}
    found |= {f"buffer {name}": value.clone() for name, value in module.named_buffers()}
    found |= {"output": out.detach(), "gradient of the batch": batch.grad}
    return {name: value for name, value in found.items() if value is not None}


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    processes.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    low, high = SHARES[rank]
    torch.save(trained(sync_batch_norm(network()), pictures()[low:high]), f"{folder}/{rank}.pt")
    processes.destroy_process_group()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    spawn: Any = torch.multiprocessing.spawn  # type: ignore[attr-defined]
    spawn(work, (str(tmp_path),), nprocs=2)
    wanted = trained(network(), pictures())
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert wanted.keys() == parts[0].keys() == parts[1].keys()
    for name, value in wanted.items():
        if name in ("output", "gradient of the batch"):
            found = torch.cat([part[name] for part in parts])
        elif name.startswith("gradient"):  # data-parallel training adds these up over processes
            found = parts[0][name] + parts[1][name]
        else:
            found = parts[1][name]
            assert torch.equal(parts[0][name], parts[1][name]), name
        assert torch.allclose(found, value, rtol=1e-9, atol=1e-9), name


def test_alone_it_is_the_ordinary_batch_norm() -> None:
    ours, theirs = trained(sync_batch_norm(network()), pictures()), trained(network(), pictures())
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_names_modes_and_values_stay() -> None:
    module: Any = make(BackboneSettings, "backbone", {"kind": "resnet18"}).build(1, 64, 98)
    module.layer1.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    parameters = dict(module.named_parameters())
    assert sync_batch_norm(module) is module
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(weight is parameters[name] for name, weight in module.named_parameters())
    assert sum(isinstance(layer, GatheredBatchNorm) for layer in module.modules()) == 20
    assert not any(type(layer) is nn.BatchNorm2d for layer in module.modules())
    assert not module.get_submodule("layer1.0.bn1").training
    assert module.get_submodule("layer2.0.bn1").training


def test_a_lone_batch_norm_is_replaced_itself() -> None:
    assert isinstance(sync_batch_norm(nn.BatchNorm1d(3)), GatheredBatchNorm)
    with pytest.raises(ValueError, match="expected"):
        sync_batch_norm(nn.BatchNorm1d(3))(torch.zeros(3))


def test_settling_takes_the_mean_over_batches_and_leaves_the_rest() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 2))
    module[1].eval()
    batches = [torch.randn(8, 3) * scale + scale for scale in (1.0, 2.0, 5.0)]
    weights = [weight.detach().clone() for weight in module.parameters()]
    settle(module, batches)
    norm: Any = module[0]
    assert torch.allclose(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0), rtol=1e-5)
    assert norm.momentum == 0.1
    assert [layer.training for layer in module] == [True, False, True]
    assert all(torch.equal(a, b) for a, b in zip(weights, module.parameters(), strict=True))


def test_a_settled_network_gives_maps_of_middling_size() -> None:
    module = make(BackboneSettings, "backbone", {"kind": "resnet18"}).build(1, 64, 98)
    clips = -60 + 20 * torch.randn(8, 1, 64, 98)
    settle(module, [clips[:4], clips[4:]])
    with torch.no_grad():
        spread = module.eval()(clips).std(0).mean()
    assert 0.1 < float(spread) < 3
