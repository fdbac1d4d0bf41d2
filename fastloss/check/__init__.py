"""``python -m fastloss check``: every kernel, real type, instruction set and thread count against the reference.

What a user runs to trust an installation; needs NumPy alone. The test suite asks more (errors, layouts, options in
combination, high-precision truth).
"""

from fastloss.check._run import kernel_names, run_check, usable_instruction_sets

__all__ = ["kernel_names", "run_check", "usable_instruction_sets"]
