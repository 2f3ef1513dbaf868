"""What the doctor saw, as a page for people and as JSON for programs."""

import dataclasses
import json
import shutil
import textwrap
from dataclasses import dataclass

from datasets import DatasetDict

from ..screen import one_line, plain_json
from .doctor import Finding, class_counts
from .labels import Labels
from .statistics import TokenStatistics

BAR = 24  # characters
CLASSES = 20  # on the page: the most frequent and the rarest half


@dataclass(frozen=True)
class Diagnosis:
    """All that was counted and found.

    Args:
        name: of the task.
        parts: as they were read.
        labels: of the task.
        tokens: of the training part.
        findings: errors first.
    """

    name: str
    parts: DatasetDict
    labels: Labels
    tokens: TokenStatistics
    findings: list[Finding]

    def page(self) -> str:
        """Rows, classes, lengths, and what is wrong with them."""
        return "\n".join([*self.head(), *self.classes(), "", *self.lengths(), "", *self.wrongs()])

    def head(self) -> list[str]:
        sizes = ", ".join(f"{len(rows):,} {part}" for part, rows in self.parts.items())
        return [f"{self.name}: {sizes} rows; {self.labels.kind.replace('_', '-')}", ""]

    def classes(self) -> list[str]:
        """One line a class: its rows in each part, their share, and a bar for the training part."""
        if self.labels.kind == "regression":
            gold = self.labels.gold(self.parts["train"])
            return [f"{self.labels.names[0]}: from {gold.min():g} to {gold.max():g}, mean {gold.mean():.4g}"]
        counts = {part: class_counts(rows, self.labels) for part, rows in self.parts.items()}
        unlabelled = {part: int((~self.labels.known(rows)).sum()) for part, rows in self.parts.items()}
        names = [one_line(name) for name in self.labels.names]
        width = max(10, *map(len, names))
        width = min(width, 30)
        lines = ["class".ljust(width) + "".join(f"{part[:14]:>16}" for part in self.parts)]
        train = counts["train"]
        ids = list(range(len(train)))
        if len(ids) > CLASSES:
            by_rows = sorted(ids, key=lambda id_: -train[id_])
            ids = sorted({*by_rows[: CLASSES // 2], *by_rows[-CLASSES // 2 :]})
            lines[0] += f"   (the {CLASSES // 2} most frequent and the {CLASSES // 2} rarest of {len(train)})"
        for id_ in ids:
            cells = "".join(
                f"{part[id_]:>8,} {part[id_] / max(1, len(rows)):>7.1%}"
                for part, rows in zip(counts.values(), self.parts.values(), strict=True)
            )
            bar = "█" * round(BAR * train[id_] / train.max())
            lines.append(f"{names[id_][:width]:<{width}}{cells}  {bar}".rstrip())
        if any(unlabelled.values()):
            cells = "".join(f"{missing:>8,} {missing / len(self.parts[part]):>7.1%}" for part, missing in unlabelled.items())
            lines.append(f"{'no label':<{width}}{cells}")
        return lines

    def lengths(self) -> list[str]:
        """Quantiles of the lengths, and what the limit costs."""
        tokens = self.tokens
        of = f"{tokens.rows:,} training texts"
        if tokens.rows < tokens.of:
            of = f"a random sample of {tokens.rows:,} of {tokens.of:,} training texts"
        names = {"p50": "half", "p90": "90%", "p95": "95%", "p99": "99%", "max": "all"}
        upto = ", ".join(f"{names[name]} {length:,}" for name, length in tokens.quantiles.items())
        return [
            f"tokens, in {of}; at most: {upto}",
            f"--max_seq_length {tokens.limit}: {tokens.rows_cut:.1%} of the texts are cut, {tokens.tokens_lost:.1%} of all "
            f"tokens are lost; {tokens.unknown:.2%} are unknown",
        ]

    def wrongs(self) -> list[str]:
        """Each finding, wrapped to the width of the terminal."""
        if not self.findings:
            return ["nothing is wrong"]
        width = max(60, min(120, shutil.get_terminal_size().columns))
        lines = []
        for finding in self.findings:
            sign = "error:   " if finding.is_error else "warning: "
            lines += textwrap.wrap(sign + finding.message, width, subsequent_indent=" " * len(sign), break_on_hyphens=False)
        return lines

    def json(self) -> str:
        """One object: kind, rows, classes, tokens, findings."""
        tokens = self.tokens
        lengths = {"max_seq_length": tokens.limit, "rows": tokens.rows, "of": tokens.of, **tokens.quantiles}
        lengths |= {"rows_cut": tokens.rows_cut, "tokens_lost": tokens.tokens_lost, "unknown": tokens.unknown}
        facts = {"kind": self.labels.kind, "rows": {part: len(rows) for part, rows in self.parts.items()}}
        if self.labels.kind != "regression":
            counts = {part: class_counts(rows, self.labels).tolist() for part, rows in self.parts.items()}
            facts["classes"] = {part: dict(zip(self.labels.names, of_part, strict=True)) for part, of_part in counts.items()}
        facts |= {"tokens": lengths, "findings": [dataclasses.asdict(finding) for finding in self.findings]}
        return plain_json(json.dumps(facts, indent=2, ensure_ascii=False))
