import pytest

from hf_scratch.__main__ import main
from tests.runs import make_run


def test_the_report_is_made_again(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    assert main(["report", str(folder), "--shared"]) == 0
    page = folder / "report" / "report.html"
    assert capsys.readouterr().out == f"{page}\n" and "/home/me" not in page.read_text("utf-8")
    assert "report/headline.png" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("folder", "rule"), [("", "holds no run"), ("no/such/folder", "no such folder")])
def test_a_folder_without_a_run_is_refused(tmp_path, folder, rule, capsys):
    assert main(["report", str(tmp_path / folder)]) == 2
    assert rule in capsys.readouterr().err
