"""The benchmark of GPUs works, on a CPU and at a small size."""

import json

import pytest

from benchmarks import gpu


@pytest.mark.filterwarnings("ignore")  # as the command does
@pytest.mark.parametrize("name", [name for name in gpu.STEPS if name != "suite"])
def test_every_step_ends_with_a_result(name):
    step, limit = gpu.STEPS[name]
    result = step(gpu.TOY)
    assert json.loads(json.dumps(result)) == result
    assert result.get("holds", True)
    assert limit <= 600


def test_a_step_in_a_process_of_its_own_gives_its_result():
    result = gpu.run_step("suite", toy=True)
    assert result["holds"]
    assert result["wall seconds"] > 0


def test_a_step_that_takes_too_long_is_a_result(monkeypatch):
    monkeypatch.setitem(gpu.STEPS, "latency", (gpu.latency, 0.1))
    result = gpu.run_step("latency", toy=True)
    assert result["failure"] == "took more than 0.1 s"
    assert not result["holds"]
