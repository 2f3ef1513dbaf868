"""One thin file a verb: `add_arguments(parser)` and `run(args)`; its docstring is the verb's help."""
