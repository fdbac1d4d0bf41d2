"""Builds the one extension module, fastloss._core. Everything declarative is in pyproject.toml.

The kernels in csrc/ are compiled once per real type and instruction set, each file with its own
flags (a thing setuptools has no word for, hence the build_ext below); Cython's output and the rest
are compiled for the baseline, so that no instruction that a CPU may lack runs before dispatch.c has
looked. Environment: FASTLOSS_NO_OPENMP=1 builds without OpenMP; CC, CFLAGS as usual.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No fast-math flag ever, at compile or link time: it would change denormal handling for the whole
# process. Contraction is off because it would make bits depend on the instruction set.
UNIX_FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-lto", "-g0"]
MSVC_FLAGS = ["/O2", "/std:c11", "/fp:precise"]

AVX2 = [
    *("-mavx2", "-mfma", "-mbmi2", "-mf16c"),
    # Instructions of independent elements interleaved: GCC's focal loss 1.1 to 1.2 times as fast, its softplus 1.05 to
    # 1.25 times. Clang does so by itself and would say that it ignores the flag.
    *("-fschedule-insns", "-Wno-ignored-optimization-argument"),
    # No loop twice for the sake of a condition in it that costs nothing: 60 kB of a wheel.
    "-fno-unswitch-loops",
]
AVX512 = [
    *AVX2,
    *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512cd"),
    "-mprefer-vector-width=512",
]
# What a loop leaves over is not worth vectors of its own: 43 kB of a wheel. Focal loss of 100 elements takes 1.07 times
# as long, everything together 1.00. Clang would say that it does not know the parameter.
SMALLER = ["--param=vect-epilogues-nomask=0", "-Wno-unused-command-line-argument"]
# Where the baseline is for processors without AVX2 alone, it shall be small: loops are vectorised, but neither split
# nor peeled. Clang has no word for the second, and does less of it.
FALLBACK = (["-O2", "-ftree-vectorize", "-fvect-cost-model=cheap"], ["-O2"])
# Of kernels: they call nothing that could throw, and the tables are a hundredth of a wheel.
KERNEL_FLAGS = ["-fno-asynchronous-unwind-tables"]
# Instruction set: (its flags for GCC and Clang, its flags for MSVC, the architecture it belongs to).
TARGETS = {
    "baseline": ([], [], None),
    "avx2": ([*AVX2, *SMALLER], ["/arch:AVX2"], "x86"),
    "avx512": (AVX512, ["/arch:AVX512"], "x86"),
    "neon": ([], [], "arm"),
}
ARCHITECTURE = {
    "x86": "#if !defined(__x86_64__) && !defined(_M_X64)\n#error\n#endif\n",
    "arm": "#if !defined(__aarch64__) && !defined(_M_ARM64)\n#error\n#endif\n",
}
COMMON_SOURCES = [f"csrc/{name}.c" for name in ("c_api", "dispatch", "labels", "operand", "pages", "threads")]
INCLUDE_DIRS = ["csrc", "fastloss/include"]
OPENMP_PROGRAM = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


class BuildKernels(build_ext):
    """Compiles every source with its own flags, several at a time."""

    def compiles(self, code, flags, link=False):
        """Whether the compiler takes this program with these flags (output of a failure is not an error)."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code, encoding="utf-8")
            saved = os.dup(2)
            try:
                with open(os.devnull, "w") as null:
                    os.dup2(null.fileno(), 2)
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
                    if link:
                        self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=flags)
            except Exception:  # distutils raises a different class per platform; any means no
                return False
            finally:
                os.dup2(saved, 2)
                os.close(saved)
        return True

    def openmp_flags(self, msvc):
        if os.environ.get("FASTLOSS_NO_OPENMP", "0") not in ("", "0"):
            return []
        candidates = [["/openmp"]] if msvc else [["-fopenmp"]]
        return next((flags for flags in candidates if self.compiles(OPENMP_PROGRAM, flags, link=not msvc)), [])

    def compiler_version(self, msvc):
        if msvc:
            return "MSVC"
        command = self.compiler.compiler_so[:1]
        try:
            output = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return " ".join(command)
        return output.splitlines()[0].replace('"', "")

    def build_extension(self, ext):
        msvc = self.compiler.compiler_type == "msvc"
        common = MSVC_FLAGS if msvc else UNIX_FLAGS
        openmp = self.openmp_flags(msvc)
        jobs, macros = [], [("FASTLOSS_COMPILER", f'"{self.compiler_version(msvc)}"')]
        targets = {}
        for isa, (unix_flags, msvc_flags, architecture) in TARGETS.items():
            flags = msvc_flags if msvc else [*KERNEL_FLAGS, *unix_flags]
            program = ARCHITECTURE.get(architecture, "") + "int main(void) { return 0; }\n"
            if self.compiles(program, flags):
                targets[isa] = flags
        if len(targets) > 1 and not msvc:
            program = "int main(void) { return 0; }\n"
            targets["baseline"] += next((flags for flags in FALLBACK if self.compiles(program, flags)), [])
        for isa, flags in targets.items():
            macros.append((f"FASTLOSS_{isa.upper()}", "1"))
            jobs += [(f"csrc/targets/{isa}_f{bits}.c", common + flags) for bits in (64, 32)]
        sources = [s.replace(".pyx", ".c") for s in ext.sources]
        jobs += [(source, common + openmp) for source in (*sources, *COMMON_SOURCES)]

        def compile_one(job):
            source, flags = job
            return self.compiler.compile(
                [source], output_dir=self.build_temp, macros=macros, include_dirs=INCLUDE_DIRS, extra_postargs=flags
            )

        with ThreadPoolExecutor(self.parallel or os.cpu_count() or 1) as pool:
            objects = [o for result in pool.map(compile_one, jobs) for o in result]
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            extra_postargs=[] if msvc else openmp,
            export_symbols=self.get_export_symbols(ext) if msvc else None,
            build_temp=self.build_temp,
            target_lang="c",
        )


def extensions():
    from Cython.Build import cythonize

    module = Extension("fastloss._core", ["fastloss/_core.pyx"], depends=[str(p) for p in Path("csrc").rglob("*.[ch]")])
    return cythonize(
        [module],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "embedsignature": False,
            "auto_pickle": False,  # nobody pickles a kernel, and the code for it is 11 kB of a wheel
        },
        include_path=["fastloss"],
    )


if __name__ == "__main__":
    needs_build = not {"--version", "--name", "clean"} & set(sys.argv)
    setup(ext_modules=extensions() if needs_build else [], cmdclass={"build_ext": BuildKernels})
