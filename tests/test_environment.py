"""What a bug report needs."""

import numpy as np

import skdim
from skdim._environment import PACKAGES


def test_a_bug_report_has_the_version_of_every_package_and_of_the_format(capsys):
    skdim.show_versions()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(PACKAGES) < set(lines)
    assert lines["numpy"] == np.__version__
    assert lines["format of files"] == "6, reads 1 to 6"
    assert lines["precision for images"] in ("float32", "bfloat16")
