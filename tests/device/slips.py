"""Seed slips that a GPU would show and a CPU does not: the suite must notice each.

Command: python tests/device/slips.py [part of a name]; a minute or two on one core.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COPIED = ("skdim", "tests/device", "tests/helpers", "tests/conftest.py", "pyproject.toml")


class Slip(NamedTuple):
    """A change of a file, and the tests that notice it, as pytest's -k selects them."""

    path: str
    code: str
    replacement: str
    tests: str


GRAPH, LOSS = "skdim/_training/cuda_graph.py", "            loss = self.criterion_.loss(terms)\n"
SLIPS = {
    "generator not registered with the graph": Slip(
        GRAPH, "            graph.register_generator_state(self.generator)\n", "", "kind and rows"
    ),
    "learning rate not a tensor": Slip(
        "skdim/optimization.py",
        'torch.tensor(params["lr"], dtype=torch.float32, device=device)',
        'params["lr"]',
        "schedule",
    ),
    "counters on the host": Slip(
        "skdim/optimization.py", 'params["capturable"] = True', "pass", "kind and rows"
    ),
    "batch not copied into the graph": Slip(
        GRAPH, "        batch_buffer.copy_(samples)\n", "", "kind and rows"
    ),
    "groups not copied into the graph": Slip(
        GRAPH, "groups_buffer.copy_(groups)", "pass", "estimator_and_critic"
    ),
    "terms of a replay not cloned": Slip(GRAPH, "replay().clone()", "replay()", "outlive_the_next"),
    "streamed batch left on the host": Slip(
        "skdim/sources/loaders.py",
        "batch = pinned.to(device, non_blocking=True)",
        "batch = pinned",
        "streaming",
    ),
    "generator of the CPU": Slip(
        "skdim/_runtime/seeding.py",
        "generator = torch.Generator(device).manual_seed(seed)",
        "generator = torch.Generator().manual_seed(seed)",
        "kind and rows",
    ),
    "numpy of a tensor of the device": Slip(
        "skdim/_model/readout.py", ".cpu().numpy()", ".numpy()", "kind and rows"
    ),
    "a number read in a step": Slip(
        "skdim/_training/net.py", LOSS, LOSS + "            loss.item()\n", "kind and rows"
    ),
    "indices on the host": Slip(
        "skdim/objective/pairs.py",
        "torch.arange(scores.shape[-2], device=scores.device)",
        "torch.arange(scores.shape[-2])",
        "own_views or setting",
    ),
    "buffer not moved": Slip(
        "skdim/objective/coordinates.py",
        'self.register_buffer("positions", ',
        "self.positions = (lambda x, persistent: x)(",
        "coordinate_task",
    ),
    "products of the bound in float32": Slip(
        "skdim/objective/scores.py",
        "dtype = torch.get_autocast_dtype(device.type)",
        "dtype = torch.float32",
        "inside_autocast",
    ),
}


def is_noticed(slip: Slip) -> bool:
    """Run the tests of a slip on a copy of the package that has it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, target)
        path = Path(folder, slip.path)
        code = path.read_text()
        if slip.code not in code:
            raise SystemExit(f"{slip.path} does not hold {slip.code!r}.")
        path.write_text(code.replace(slip.code, slip.replacement))
        command = [sys.executable, "tests/device/run.py", "cuda", "-x", "-k", slip.tests]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        lines = ended.stdout.strip().splitlines()
        print("   ", next((line[:150] for line in lines if line.startswith("E  ")), lines[-1:]))
        return ended.returncode == 1


if __name__ == "__main__":
    part = "".join(sys.argv[1:])
    results = {name: is_noticed(slip) for name, slip in SLIPS.items() if part in name}
    for name, noticed in results.items():
        print(f"{'noticed' if noticed else 'MISSED'}: {name}")
    raise SystemExit(not all(results.values()))
