"""Draw the pictures of the jobs: `python docs/jobs/make_pictures.py [NAME ...]`.

The code of each page runs as it is. The figure that it leaves open is saved.
"""

import re
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

HERE = Path(__file__).parent
PICTURES = HERE.parent / "_static" / "jobs"


def draw(page: Path) -> None:
    """Run the code of a page, and save its figure if there is one."""
    namespace = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, str(page), "exec"), namespace)
    if plt.get_fignums():
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"{page.stem}.png"
        plt.savefig(path, dpi=110)
        Image.open(path).convert("RGB").quantize(128).save(
            path, optimize=True
        )  # a third of the size
        plt.close("all")


if __name__ == "__main__":
    mpl.use("Agg")
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.md")):
        draw(HERE / f"{name}.md")
