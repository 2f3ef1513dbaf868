import subprocess
import sys

import pytest
import torch

from hf_scratch.sharing import certificate
from hf_scratch.sharing.reload import fingerprints


def test_the_stranger_cannot_see_the_package(tmp_path):
    """`reload` must refuse the import that would make its proof worthless."""
    code = certificate.RELOAD.read_text(encoding="utf-8").split("import torch")[0] + "    import hf_scratch"
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    child = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert child.returncode == 1 and "import of hf_scratch halted" in child.stderr


@pytest.mark.parametrize("change", [lambda w: w + 1e-7, lambda w: w.double(), lambda w: w.bfloat16(), lambda w: w.flatten()])
def test_a_fingerprint_tells_value_type_and_shape(change):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 5)
    before = fingerprints(model)
    assert fingerprints(model) == before and set(before) == {"weight", "bias"}
    model.weight = torch.nn.Parameter(change(model.weight.detach()))
    after = fingerprints(model)
    assert after["weight"] != before["weight"] and after["bias"] == before["bias"]
