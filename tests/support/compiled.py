"""Compiles every kernel for a GPU that need not be here, as for the published sizes, and prints what does not fit.

JSON: bytes that a thread of each keeps outside of its registers, by kernel and type of the network's numbers.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from model import kernels

TARGET = GPUTarget("cuda", 90, 32)
NUMBERS = {"count", "width", "tokens", "encoder_width", "taps", "positions", "edge"}
IN_NETWORKS_TYPE = {
    "raw", "previous", "hidden", "query", "keys", "location", "v", "memory", "context", "from_attention", "from_next",
    "from_output", "to_gates", "to_context", "total",
}  # fmt: skip
"""Pointers whose type is the network's; all others are single precision."""
CONSTANTS: dict[str, Any] = {
    "DROPS": True, "HOLDS": True, "REACHES": True, "BLOCK": kernels.ELEMENTS, "BLOCK_N": kernels.ROWS, "BLOCK_A": 128,
    "BLOCK_W": 64, "BLOCK_E": 128, "BLOCK_K": 32, "BLOCK_ROW": 128, "PARTS": 4, "BLOCK_P": 4,
}  # fmt: skip


def spilled(kernel: Any, dtype: str) -> int:
    """Bytes that a thread of the kernel keeps outside of its registers."""
    names = list(kernel.arg_names)
    constants = CONSTANTS | {"PRECISION": "tf32x3" if dtype == "fp32" else "tf32"}
    if kernel is kernels.attend_kernel:  # a whole text's weights
        constants |= {"BLOCK_N": 128, "BLOCK_E": kernels.TILE // 128}
    constants = {name: value for name, value in constants.items() if name in names}
    types = {name: f"*{dtype}" if name in IN_NETWORKS_TYPE else "*fp32" for name in names}
    types |= {name: "i32" for name in names if name in NUMBERS or name.endswith("stride")}
    types |= dict.fromkeys(constants, "constexpr") | ({"least": "fp32"} if "least" in names else {})
    source = ASTSource(
        fn=kernel, signature=types, constexprs={(names.index(name),): value for name, value in constants.items()}
    )
    tiled = {"PRECISION", "BLOCK_K"} & set(constants)
    made = triton.compile(source, target=TARGET, options={"num_warps": kernels.WARPS if tiled else 4})
    assembler = Path(triton.backends.nvidia.__file__).parent / "bin" / "ptxas"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(made.asm["ptx"])
        file.flush()
        command = [str(assembler), "-v", "--gpu-name=sm_90a", file.name, "-o", "/dev/null"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return max(int(number) for number in re.findall(r"(\d+) bytes spill", told))


def main() -> None:
    found = {
        f"{name} {dtype}": spilled(getattr(kernels, name), dtype)
        for name in dir(kernels)
        if name.endswith("_kernel")
        for dtype in ("fp32", "bf16")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
