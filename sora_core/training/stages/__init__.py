"""The stages of `sora train`.

Each stage is a module in this package with

    def add_arguments(parser): ...     its options
    def run(args): ...                 its work

and one line in `training.cli.STAGES`. Only the module of the stage that is called is imported, and the modules import
what is slow (torch, OpenCV) inside `run`, so that `sora train --help` answers at once.
"""
