import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.errors import UserError
from hf_scratch.sharing import demo as module

ROOT = Path(__file__).parents[2]
# gradio's own, and those of the server that it brings.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture
def classifier(tiny_bert):
    model = BertForSequenceClassification.from_pretrained(tiny_bert, id2label={0: "bad", 1: "good"}).eval()
    return model, AutoTokenizer.from_pretrained(tiny_bert)


def test_without_gradio_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the page needs gradio, .*; run: pip install 'hf-scratch\[app\]'"):
        module.require_gradio()


def test_the_page_answers_and_draws(classifier):
    gradio = pytest.importorskip("gradio", reason="the extra `app` is not installed")
    answer, look = module.answers_of(*classifier)
    shares = answer("a lovely film")
    assert set(shares) == {"bad", "good"} and sum(shares.values()) == pytest.approx(1)
    assert "layer 0 of 0 to 1, head 2 of 0 to 2" in look("a film", "0", "2").axes[0].get_title()
    assert "mean of 3 heads" in look("a film", "1", module.MEAN).axes[0].get_title()
    assert look("", "0", "2") is None
    for fault in (lambda: answer("  "), lambda: look("a film " * 99, "0", "2")):
        with pytest.raises(gradio.Error):
            fault()


@pytest.fixture(scope="module")
def address(tiny_bert, tmp_path_factory):
    """Of the page, which a process of its own serves, as a user starts it."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    folder = tmp_path_factory.mktemp("served")
    BertForSequenceClassification.from_pretrained(tiny_bert, id2label={0: "bad", 1: "good"}).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    command, environment = [sys.executable, "-m", "hf_scratch", "demo", str(folder)], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()


def test_a_program_can_ask_the_page_and_only_this_machine(address):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False, analytics_enabled=False)
    answer = client.predict("a lovely film", api_name="/answer")
    shares = {share["label"]: share["confidence"] for share in answer["confidences"]}
    assert set(shares) == {"bad", "good"} and sum(shares.values()) == pytest.approx(1)
    assert answer["label"] == max(shares, key=shares.get)
    pictures = [client.predict("a lovely film", "1", head, api_name="/look")["plot"] for head in ("0", "2", module.MEAN)]
    assert len(set(pictures)) == 3 and all(picture.startswith("data:image/") for picture in pictures)
    with pytest.raises(AppError, match="type a text first"):
        client.predict("  ", api_name="/answer")
    port = int(address.strip("/").rpartition(":")[2])
    assert address.startswith("http://127.0.0.1:")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_person_can_click_through_it(address):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine, and no package of the index carries one")
    with playwright.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        click_through(window.new_page(), address)
        window.close()


def click_through(tab, address):
    tab.goto(address)
    tab.fill("#text textarea", "a lovely film")
    tab.click("#ask")
    tab.wait_for_selector("#attention img", timeout=60_000)
    shown = tab.inner_text("#answer")
    assert "good" in shown and "bad" in shown and "%" in shown
    before = tab.get_attribute("#attention img", "src")
    tab.click("input[aria-label=Head]")
    tab.click("text=2")
    tab.wait_for_function("old => document.querySelector('#attention img').src != old", arg=before, timeout=60_000)
