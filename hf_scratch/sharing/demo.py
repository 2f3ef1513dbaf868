"""A page on this machine to try a classifier: type a text, see the probabilities, and where any layer and head looks."""

import importlib.util
import os
import threading

from ..errors import UserError
from ..results.attention_map import attention_map
from ..screen import show
from .predict import Predictor

MEAN = "mean"  # of all heads


def require_gradio():
    """
    Raises:
        UserError: if the extra `app` is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs gradio, which is not installed; run: pip install 'hf-scratch[app]'")


def build_page(model, tokenizer, title: str):
    """The page, not yet served.

    Args:
        model: a classifier.
        tokenizer: the model's.
        title: above it.
    """
    require_gradio()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # what is typed here is told to nobody
    import gradio

    answer, look = answers_of(model, tokenizer)
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.Markdown(f"# {title}")
        text = gradio.Textbox(label="Text", elem_id="text", lines=3)
        ask = gradio.Button("Ask", elem_id="ask", variant="primary")
        shares = gradio.Label(label="Answer", elem_id="answer")
        with gradio.Row():
            layer = gradio.Dropdown([str(number) for number in range(layers)], value=str(layers - 1), label="Layer")
            head = gradio.Dropdown([MEAN, *(str(number) for number in range(heads))], value=MEAN, label="Head")
        picture = gradio.Plot(label="Attention", elem_id="attention")
        gradio.on([ask.click, text.submit], answer, text, shares, api_name="answer")
        gradio.on([ask.click, text.submit, layer.change, head.change], look, [text, layer, head], picture, api_name="look")
    return page


def answers_of(model, tokenizer):
    """The two functions behind the page: a text's probabilities, and a picture of its attention."""
    import gradio

    predictor = Predictor(model, tokenizer)
    turn = threading.Lock()  # the picture switches the model's attention for a moment

    def answer(text: str):
        with turn:
            ((found,),) = predictor.answers([[text]])
        if found.label is None:
            raise gradio.Error("type a text first", print_exception=False)
        return found.probabilities or {f"{found.label:.4f}": 1.0}

    def look(text: str, layer: str, head: str):
        if not text.strip():
            return None
        try:
            with turn:
                return attention_map(model, tokenizer, text, layer=int(layer), head=None if head == MEAN else int(head))
        except ValueError as error:  # too long a text to draw
            raise gradio.Error(str(error), print_exception=False) from error

    return answer, look


def serve(page, port: int | None = None, wait: bool = True):
    """Serve the page to this machine alone.

    Args:
        page: of `build_page`.
        port: a free one from 7860 on by default.
        wait: until it is stopped.

    Returns:
        Its address.

    Raises:
        UserError: if the port is taken.
    """
    import gradio

    # No font of another server: the page works without a network.
    look = {"theme": gradio.themes.Default(font=["sans-serif"], font_mono=["monospace"])}
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1", server_port=port, share=False, prevent_thread_lock=True, quiet=True, **look
        )
    except OSError as error:
        raise UserError(f"--port {port} cannot be served: {error}; give another, or leave it away") from error
    show(f"{address} (Ctrl-C ends it)", flush=True)
    if wait:
        page.block_thread()
    return address
