"""The optimizer: how far it moves what, and that it goes on with what Adam began."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny matrices on a busy machine: a second thread mostly waits

from engine.training.optimizer import OrthogonalAdam, orthogonal

RATE, FACTOR = 1e-3, 8.0


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(96, 864), (64, 40), (12, 12)])
def test_all_directions_count_alike(shape: tuple[int, int]) -> None:
    """Singular values from 1 to a hundredth come out within a half of 1, in the same directions."""
    u, _, v = torch.linalg.svd(drawn(*shape), full_matrices=False)
    values = torch.logspace(0, -2, min(shape))
    diagonal = u.T @ orthogonal((u * values) @ v * 300) @ v.T
    assert 0.5 < float(diagonal.diagonal().min()) and float(diagonal.diagonal().max()) < 1.5
    assert float((diagonal - torch.diag(diagonal.diagonal())).abs().max()) < 1e-3
    assert not orthogonal(torch.zeros(shape)).any()


def test_a_step_is_as_long_as_one_of_adam_times_the_factor() -> None:
    """Whatever the size of the gradient: 0.2 of the rate in the root mean square, and the whole rate for Adam."""
    hidden, other = (torch.nn.Parameter(torch.zeros(48, 96, 3, 3)) for _ in range(2))
    made = OrthogonalAdam([hidden, other], [hidden], RATE, FACTOR)
    hidden.grad, other.grad = (1e-4 * drawn(*hidden.shape, seed=seed) for seed in (1, 2))
    made.step()
    assert float(hidden.detach().square().mean().sqrt()) == pytest.approx(0.2 * RATE * FACTOR, rel=0.2)
    assert float(other.detach().square().mean().sqrt()) == pytest.approx(RATE, rel=1e-3)
    made.param_groups[0]["lr"] = 0.0
    before = hidden.detach().clone()
    made.step()
    assert torch.equal(hidden, before)


def test_it_goes_on_with_what_adam_began() -> None:
    """A checkpoint from before: its momentum is the one that is made orthogonal, each at its own parameter."""
    shapes = ((8, 4, 3, 3), (5,), (6, 8, 1, 1))
    before = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    adam = torch.optim.Adam(before, RATE)
    for turn in range(3):
        for number, parameter in enumerate(before):
            parameter.grad = drawn(*parameter.shape, seed=10 * turn + number)
        adam.step()
    after = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    made = OrthogonalAdam(after, [after[0], after[2]], RATE, FACTOR)
    made.load_state_dict(adam.state_dict())
    for parameter in after:
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for index in (0, 2):
        momentum = adam.state[before[index]]["exp_avg"].flatten(1)
        asked = -orthogonal(momentum).reshape(shapes[index])
        assert float(torch.cosine_similarity(after[index].detach().flatten(), asked.flatten(), 0)) > 0.999
    assert [int(made.state[parameter]["step"]) for parameter in after] == [4, 4, 4]
