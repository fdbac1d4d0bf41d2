"""The command line: ``python -m fastloss info``, ``check`` and ``demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fastloss._config import show_config

PROGRAM = "python -m fastloss"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all three commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="fastloss: fused, numerically exact loss and differential-privacy kernels for NumPy arrays.",
        epilog=f"'{PROGRAM} COMMAND --help' explains a command's options.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    info = "print version, compiler, instruction sets, threads and backend"
    commands.add_parser("info", help=info, description=f"{_sentence(info)} This is what to put into a bug report.")

    check = commands.add_parser(
        "check",
        help="compare every kernel with the NumPy reference on this machine",
        description="Compare every kernel, in every real type, on every instruction set that this CPU has and with "
        "1, 2, 3 and 7 threads, with the NumPy reference. Prints the worst errors beside their bounds; the exit code "
        "is 1 where one is out of bounds, else 0. Takes a minute or two.",
    )
    check.add_argument("--quick", action="store_true", help="fewer inputs: about half a minute")
    check.add_argument(
        "--loss",
        action="append",
        metavar="NAME",
        help="check this kernel alone, such as cross_entropy (may be repeated)",
    )
    check.add_argument(
        "--isa",
        action="append",
        metavar="NAME",
        help="check this instruction set alone, such as avx2 (may be repeated)",
    )

    demo = commands.add_parser(
        "demo",
        help="train models on real data: classifiers, outliers, privacy, a rare class, an embedding",
        description="Train classifiers of handwritten digits, a regression on data with outliers, a classifier with "
        "differential privacy and an attack on it, one of a rare class, and an embedding; print what came out and draw "
        "it. Takes up to four minutes. Needs scikit-learn, matplotlib, tqdm and dp-accounting: pip install "
        "'fastloss[demo]'.",
    )
    demo.add_argument("--output", type=Path, default=Path("fastloss-demo.png"), metavar="PNG",
                      help="where the figure goes (default: %(default)s)")  # fmt: skip
    demo.add_argument("--seed", type=_seed, default=0, help="of splits, starts and noise (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments
        What follows ``python -m fastloss``; None for the command line's.

    Returns
    -------
    int
        The exit code: 0, or 1 where a check failed or the demo lacks a package. Wrong arguments exit with 2.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command == "info":
        show_config()
        return 0
    if options.command == "check":
        return _check(parser, options)
    return _demo(parser, options)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from fastloss.check import kernel_names, run_check, usable_instruction_sets

    for option, given, known in (
        ("--loss", options.loss, kernel_names()),
        ("--isa", options.isa, usable_instruction_sets()),
    ):
        unknown = [name for name in given or [] if name not in known]
        if unknown:
            parser.error(f"{option} {unknown[0]} is not known here; expected one of {', '.join(known)}")
    return 0 if run_check(quick=options.quick, kernels=options.loss, isas=options.isa) else 1


def _demo(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if not options.output.parent.is_dir():  # said before the work, not after it
        parser.error(f"--output {options.output}: there is no folder {options.output.parent}")
    from fastloss.demo import MissingPackages, run_demo

    try:
        run_demo(output=options.output, seed=options.seed)
    except MissingPackages as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _seed(text: str) -> int:
    """An integer >= 0 on the command line."""
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"{seed} is negative; expected an integer >= 0")
    return seed


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


if __name__ == "__main__":
    sys.exit(main())
