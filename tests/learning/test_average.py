"""The running average against its closed form."""

import pytest
import torch
from torch import nn

from nearfield.learning.train import RunningAverage


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_an_average_is_the_sum_of_all_states_by_their_weights(decay: float) -> None:
    model = nn.BatchNorm1d(3).double()
    average = RunningAverage(model, decay)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    for number, state in enumerate(states, 1):
        with torch.no_grad():
            model.weight.copy_(state)
            model.num_batches_tracked.fill_(number)  # type: ignore[union-attr]
        average.see(model)
    # After update t the average keeps min(decay, t / (t + 9)) of what it was.
    kept = [min(decay, t / (t + 9)) for t in range(1, 41)]
    wanted = torch.ones(3, dtype=torch.float64) * torch.tensor(kept).double().prod()
    for number, state in enumerate(states):
        wanted += state * (1 - kept[number]) * torch.tensor(kept[number + 1 :]).double().prod()
    torch.testing.assert_close(average.state["weight"], wanted, rtol=1e-6, atol=1e-6)
    assert int(average.state["num_batches_tracked"]) == 40
    assert average.seen == 40


def test_an_average_taken_up_again_goes_on_as_if_never_stopped() -> None:
    model = nn.Linear(2, 2)
    whole, stopped = RunningAverage(model, 0.9), RunningAverage(model, 0.9)
    for number in range(10):
        with torch.no_grad():
            model.weight.fill_(number)
        whole.see(model)
        stopped.see(model)
        if number == 4:
            again = RunningAverage(nn.Linear(2, 2), 0.9)
            again.restore(stopped.state, stopped.seen)
            stopped = again
    assert all(torch.equal(stopped.state[name], tensor) for name, tensor in whole.state.items())
