import subprocess
import sys

from hf_scratch.sharing import certificate


def test_the_stranger_cannot_see_the_package(tmp_path):
    """`reload` must refuse the import that would make its proof worthless."""
    code = certificate.RELOAD.read_text(encoding="utf-8").split("def main")[0] + "import hf_scratch"
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    child = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert child.returncode == 1 and "import of hf_scratch halted" in child.stderr
