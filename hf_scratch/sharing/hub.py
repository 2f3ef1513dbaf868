"""Runs to the Hub: the right to push is tried before training, and a push that fails loses nothing."""

import shlex
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import disable_progress_bars
from torch.distributed.fsdp import FSDPModule
from transformers import TrainerCallback, TrainingArguments

from ..data.sources import deepest_cause, hub_is_reachable
from ..errors import UserError
from .certificate import compare, remember
from .parcel import packed

REASONS = {
    401: "the Hub was given no token, or one that it does not know; log in by `hf auth login`, or give another token",
    403: "the token may not write there; take a name of your own, or a token with the right to write to it",
    404: "there is no such repository, or the token may not see it; check the name and the token",
}


@dataclass(frozen=True)
class Remote:
    """A model repository on the Hub, and how to write to it.

    Args:
        name: `owner/name`, or a name alone for one's own.
        revision: the branch; the main one by default, and made where it is missing.
        private: whether a repository that is created is hidden from others; the Hub's own default if None.
        token: with the right to write; that of `hf auth login` by default.
    """

    name: str
    revision: str | None = None
    private: bool | None = None
    token: str | None = None

    def open(self) -> "Remote":
        """Create the repository and the branch where they are missing, which proves that a push will be let in.

        Returns:
            the remote under its full name.

        Raises:
            UserError: if the Hub cannot be reached, or refuses the token, the owner or the name.
        """
        if not hub_is_reachable():
            raise UserError(f"{self.name} cannot be pushed to: the Hub cannot be reached; connect, or leave the push away")
        api = HfApi(token=self.token)
        try:
            name = api.create_repo(self.name, private=self.private, exist_ok=True).repo_id
            make_branch(api, name, self.revision or "main")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.name} cannot be pushed to: {reason(error)}") from error
        return replace(self, name=name)

    def upload(self, folder: str, message: str) -> str:
        """Push a folder in one commit, sending only what the Hub has not; returns the commit's address."""
        if not sys.stderr.isatty():
            disable_progress_bars()
        made = HfApi(token=self.token).upload_folder(
            repo_id=self.name, folder_path=folder, commit_message=message, revision=self.revision
        )
        return made.commit_url

    def command(self, folder: str) -> str:
        """The command that pushes a folder here."""
        words = ["hf-scratch", "push", str(folder), self.name]
        words += ["--private"] * bool(self.private) + (["--revision", self.revision] if self.revision else [])
        return shlex.join(words)


def make_branch(api: HfApi, name: str, branch: str):
    """Make a branch if it is missing. With `exist_ok` the client would take a branch that it may not write to for its own."""
    try:
        api.create_branch(name, branch=branch)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:  # it is there already
            raise


def reason(error: BaseException) -> str:
    """Why the Hub refuses, and what helps, on one line."""
    response = getattr(error, "response", None)
    if response is not None and response.status_code in REASONS:
        return REASONS[response.status_code]
    what = deepest_cause(error)
    if isinstance(error, HFValidationError):
        return f"{what.rstrip('.')}; give a name such as film-reviews or owner/film-reviews"
    return what


def take_over(args: TrainingArguments, token: str | None = None) -> Remote | None:
    """The remote that Trainer's own flags name, opened; None without --push_to_hub, and on all processes but the first.

    Trainer pushes no more: it would before the model card is written, with run.json and its pickled arguments.

    Args:
        args: `push_to_hub` becomes False. Without --hub_model_id the folder's name is taken.
        token: where no --hub_token is given.
    """
    wanted, args.push_to_hub = args.push_to_hub, False
    if not wanted or args.process_index != 0:
        return None
    name = args.hub_model_id or Path(args.output_dir).resolve().name
    return Remote(name, args.hub_revision, args.hub_private_repo, args.hub_token or token).open()


def push(folder: str, remote: Remote, model=None, tokenizer=None, texts=(), message: str = "Push of a run") -> str:
    """Push what is to be shared of a folder.

    Args:
        folder: of a run or a checkpoint.
        remote: that was opened.
        model, tokenizer, texts: if given, the parcel is certified against them first.
        message: of the commit.

    Returns:
        The commit's address.

    Raises:
        UserError: if the Hub cannot be reached any more or refuses; the folder is as it was.
    """
    with packed(folder) as parcel:
        if model is not None:
            compare(parcel, remember(model, tokenizer, texts))
        name_in_card(parcel, Path(folder).resolve().name, remote.name)
        try:
            return remote.upload(parcel, message)
        except Exception as error:  # whatever it was, the run is not lost
            raise UserError(
                f"{folder} is whole, but could not be pushed to {remote.name}: {reason(error)}; then push it by "
                f"`{remote.command(folder)}`"
            ) from error


def name_in_card(parcel: str, old: str, new: str):
    """Let the card's example load the model from where it will be."""
    card = Path(parcel, "README.md")
    if card.exists():
        text = card.read_text(encoding="utf-8").replace(f'model="{old}"', f'model="{new}"')
        card.unlink()  # a link to the run's own
        card.write_text(text, encoding="utf-8")


class PushOnSave(TrainerCallback):
    """Push checkpoints while training goes on, as --hub_strategy says, each certified and in the background.

    As in Trainer a checkpoint is left out while an earlier one is on its way, unless --hub_always_push; the end of the run
    is pushed in any case. `checkpoint` and `all_checkpoints` push the weights under the checkpoint's name too, without the
    optimizer: who goes on from there begins anew with it.

    Args:
        remote: that was opened.
        tokenizer: the model's.
        texts: for the certificate.
    """

    def __init__(self, remote: Remote, tokenizer, texts: list):
        self.remote, self.tokenizer, self.texts = remote, tokenizer, texts
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.pushes: dict[int, Future] = {}

    def on_save(self, args, state, control, model=None, **kwargs):
        """Called by Trainer when a checkpoint is whole. A model in shards, which no process has whole, is pushed at the end."""
        if args.hub_strategy == "end" or not state.is_world_process_zero or isinstance(model, FSDPModule):
            return
        if not args.hub_always_push and not all(push_.done() for push_ in self.pushes.values()):
            return
        checkpoint = Path(args.output_dir, f"checkpoint-{state.global_step}")
        copies = {"checkpoint": ["last-checkpoint"], "all_checkpoints": [checkpoint.name]}.get(args.hub_strategy, [])
        memory = remember(model, self.tokenizer, self.texts)
        parcel = packed(checkpoint, *copies)
        folder = parcel.__enter__()  # now: rotation may delete the checkpoint while it is on its way
        self.pushes[state.global_step] = self.pool.submit(self.send, parcel, folder, memory, state.global_step)

    def send(self, parcel, folder: str, memory, step: int):
        try:
            compare(folder, memory)
            self.remote.upload(folder, f"Training in progress, step {step}")
        finally:
            parcel.__exit__(None, None, None)

    def finish(self, folder: str, say):
        """Wait for what is on its way, say what went wrong with it, and push the run."""
        self.pool.shutdown()
        for step, push_ in self.pushes.items():
            if push_.exception():
                say(f"  note: the push at step {step} failed: {reason(push_.exception())}")
        say(f"pushed: {push(folder, self.remote)}")
