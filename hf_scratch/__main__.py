"""`hf-scratch VERB`, also `python -m hf_scratch VERB`: one module of `commands` a verb."""

import argparse
import importlib
import pkgutil
import sys

from . import commands
from .errors import UserError, closest, ended


class Parser(argparse.ArgumentParser):
    """Flags only in full, and complaints that say what to do."""

    def error(self, message):
        if "expected one argument" in message:  # such as --flags "--fp16", which argparse takes for two flags
            message += '; one that begins with dashes is written --flag="--so"'
        raise UserError(f"{message}; `{self.prog} --help` lists what it takes")


def main(argv: list[str] | None = None) -> int:
    """Run a verb.

    Returns:
        0 done, 2 the user can mend it, 75 stopped on request and resumable.
    """
    return ended(lambda: run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    verbs = {
        info.name: importlib.import_module(f".{info.name}", commands.__name__)
        for info in pkgutil.iter_modules(commands.__path__)
    }
    parser = Parser(prog="hf-scratch", description="A transformer from scratch, trained and shared like BERT.")
    choices = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name, module in sorted(verbs.items()):
        help_line = module.__doc__.splitlines()[0]
        verb = choices.add_parser(
            name,
            help=help_line,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if hasattr(module, "add_arguments"):
            module.add_arguments(verb)
    if argv and not argv[0].startswith("-") and argv[0] not in verbs:
        raise UserError(f"there is no verb {argv[0]!r}.{closest(argv[0], verbs)} The verbs are {', '.join(sorted(verbs))}")
    if argv and hasattr(verbs.get(argv[0]), "parse"):  # takes every flag of Trainer's, by a parser of its own
        return verbs[argv[0]].run(verbs[argv[0]].parse(argv[1:]))
    args, args.run_flags = parser.parse_known_args(argv)
    args.words = argv[1:]
    if args.verb is None:
        parser.print_help()
        return 0
    if args.run_flags:
        takes = getattr(verbs[args.verb], "TAKES_RUN_FLAGS", False)
        check_flags(args.run_flags, choices.choices[args.verb], takes)
    return verbs[args.verb].run(args)


def check_flags(flags: list[str], verb: argparse.ArgumentParser, takes_run_flags: bool):
    """Refuse words that a verb does not know, naming the flag that was meant; a run's flags too, where it takes them."""
    if takes_run_flags:
        from .training.arguments import Parser as RunParser

        RunParser().given(flags, beside=verb._option_string_actions)
        return
    near = closest(flags[0].split("=")[0], verb._option_string_actions)
    raise UserError(f"{flags[0]!r} is not known to {verb.prog.split()[-1]}.{near} `{verb.prog} --help` lists what it takes")


if __name__ == "__main__":
    sys.exit(main())
