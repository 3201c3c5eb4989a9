"""Who may import whom, which file owns which library, and what runs without what."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    ROOT / "smart_tuner_main.py",
    *sorted((ROOT / "smart_tuner").rglob("*.py")),
    *sorted((ROOT / "model").glob("*.py")),
]
LAYERS = [
    {"errors", "model", "figures", "paths", "sealed"},
    {"progress", "settings", "checkpoint"},
    {"trial", "speech", "space", "health", "tracking"},
    {"evaluation", "analysis"},
    {"training", "study"},
    {"execution", "report"},
    {"cli"},
    {"smart_tuner_main"},
]
"""The direction of imports: a name imports names of earlier layers only."""
OWNERS: dict[str, str | tuple[str, ...]] = {
    "mlflow": "smart_tuner/tracking/",
    "optuna": "smart_tuner/study/",
    "typer": "smart_tuner_main.py",
    "rich": "smart_tuner/cli/console.py",
    "librosa": "smart_tuner/speech/audio.py",
    "soundfile": "smart_tuner/speech/audio.py",
    "threadpoolctl": "smart_tuner/speech/audio.py",
    "num2words": "smart_tuner/speech/",
    "espeakng_loader": "smart_tuner/speech/espeak.py",
    "ru_normalizr": "smart_tuner/speech/russian.py",
    "pymorphy3": "smart_tuner/speech/morphology.py",
    "onnxruntime": "smart_tuner/speech/vocoder.py",
    "silero_stress": "smart_tuner/speech/stress.py",
    "matplotlib": "smart_tuner/figures/",
    "scipy": ("smart_tuner/analysis/", "smart_tuner/speech/silence.py"),
    "jinja2": "smart_tuner/report/pages.py",
    "yaml": "smart_tuner/settings/yaml_file.py",
    "triton": "model/",
}
IMPORTED_AS = {"pyyaml": "yaml", "nvidia-ml-py": "pynvml", "espeakng-loader": "espeakng_loader"}
TRAINING_NEEDS = {"torch", "numpy", "pyyaml", "filelock"}
"""filelock is torch's own requirement."""
FOR_GPUS = {"kernels", "fused"}
"""Files of the model that need Triton."""
MOST_FOLDERS, MOST_MODULES_AT_THE_TOP, MOST_FILES_IN_A_CHAIN = 14, 6, 9
"""What a newcomer can hold in mind."""


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imports(file: Path) -> list[str]:
    """Dotted names that a file imports anywhere in it."""
    names = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def known_modules() -> set[str]:
    return {module_of(file) for file in FILES}


def ours(dotted: str) -> str | None:
    """The file's module that an import of this project reaches; None for other packages."""
    known = known_modules()
    parts = dotted.split(".")
    return next((".".join(parts[:end]) for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in known), None)


def name_in_layers(module: str) -> str:
    """Model, speech, or the name of a single file."""
    parts = module.split(".")
    return parts[0] if parts[0] != "smart_tuner" else parts[1] if len(parts) > 1 else ""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_has_a_layer() -> None:
    assert {name_in_layers(module_of(file)) for file in FILES} - {""} == set().union(*LAYERS)
    assert sum(len(layer) for layer in LAYERS) == len(set().union(*LAYERS))


def test_imports_go_one_way() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = []
    for file in FILES:
        here = name_in_layers(module_of(file))
        reached = {name_in_layers(module) for dotted in imports(file) if (module := ours(dotted))} - {here, ""}
        wrong += [f"{module_of(file)} imports {name}" for name in sorted(reached) if level[name] >= level[here]]
    assert not wrong


def import_graph() -> dict[str, set[str]]:
    """What each module imports of this project, wherever in the file."""
    return {
        module_of(file): {module for dotted in imports(file) if (module := ours(dotted))} - {module_of(file)}
        for file in FILES
    }


def test_no_file_imports_itself_by_way_of_others_and_no_chain_is_long() -> None:
    graph, chain = import_graph(), dict[str, list[str]]()
    for module in graphlib.TopologicalSorter(graph).static_order():
        below = max((chain[imported] for imported in graph[module]), key=len, default=[])
        chain[module] = [module, *below]
    assert len(chain) == len(FILES)
    longest = max(chain.values(), key=len)
    assert len(longest) <= MOST_FILES_IN_A_CHAIN, " imports ".join(longest)


def test_few_doors_stand_at_the_top() -> None:
    top = [entry for entry in (ROOT / "smart_tuner").iterdir() if not entry.name.startswith("_")]
    assert len([entry for entry in top if entry.is_dir()]) <= MOST_FOLDERS
    assert len([entry for entry in top if entry.suffix == ".py"]) <= MOST_MODULES_AT_THE_TOP


def test_the_loop_is_four_files_from_the_command_line() -> None:
    """Each file of the way names what it calls in the next one; the last one holds the training's backward pass."""
    way = {
        "smart_tuner_main.py": "run_train",
        "smart_tuner/cli/train.py": "train_trial",
        "smart_tuner/training/run.py": "Trainer",
        "smart_tuner/training/trainer.py": ".backward(",
    }
    files = list(way)
    for file, called in way.items():
        assert called in (ROOT / file).read_text(encoding="utf-8"), file
    for file, following in pairwise(files):
        assert f"{following.removesuffix('.py').replace('/', '.')}.{way[file]}" in set(imports(ROOT / file)), file


def test_no_name_means_two_things() -> None:
    """Public types and functions of a module are named once in the whole project."""
    places: dict[str, list[str]] = {}
    for file in FILES:
        for node in tree(file).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module_of(file))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_one_door(library: str) -> None:
    """A file, or a folder whose name ends in /; two of them where what they take of it has nothing in common."""
    doors = {
        file.relative_to(ROOT).as_posix() for file in FILES if library in {name.split(".")[0] for name in imports(file)}
    }
    owners = OWNERS[library]
    owners = (owners,) if isinstance(owners, str) else owners
    assert doors
    assert all(any(door == one or (one.endswith("/") and door.startswith(one)) for one in owners) for door in doors)


def test_the_model_knows_torch_and_itself_alone() -> None:
    for file in (ROOT / "model").glob("*.py"):
        packages = {name.split(".")[0] for name in imports(file)}
        extra = {"triton"} if file.stem in FOR_GPUS else set()
        assert packages - set(sys.stdlib_module_names) <= {"torch", "model"} | extra, file


def test_nothing_in_the_model_needs_what_is_for_gpus() -> None:
    """Whoever has proven the kernels hands them over."""
    modules = {f"model.{name}" for name in FOR_GPUS}
    graph = import_graph()
    assert {name for name in graph if name.startswith("model.") and graph[name] & modules} == {"model.fused"}


def test_packages_export_nothing_but_their_files() -> None:
    for file in FILES:
        if file.name == "__init__.py":
            assert not imports(file), file


def test_there_is_one_training_loop() -> None:
    """The recogniser that judges voices has its own, of twenty lines: it is no voice and no trial."""
    found = [file.name for file in FILES if ".backward(" in file.read_text(encoding="utf-8")]
    assert sorted(found) == ["recogniser_training.py", "trainer.py"]


def test_nothing_is_printed_but_by_the_console() -> None:
    for file in FILES:
        called = {
            node.func.id
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in called, file
        assert "sys.stdout" not in file.read_text(encoding="utf-8"), file


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        one is None or (isinstance(one, ast.Name) and one.id in ("Exception", "BaseException")) for one in caught
    )


def test_whoever_catches_everything_raises_again() -> None:
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                assert isinstance(node.body[-1], ast.Raise), f"{file}:{node.lineno}"


def test_no_error_is_passed_over_without_a_word() -> None:
    """A handler that only passes on says why in a comment on its line or the next."""
    for file in FILES:
        lines = file.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler) and all(
                isinstance(one, ast.Pass | ast.Continue) for one in node.body
            ):
                assert "#" in lines[node.lineno - 1] + lines[node.lineno], f"{file}:{node.lineno}"
            assert not (isinstance(node, ast.Attribute) and node.attr == "suppress"), f"{file}: contextlib.suppress"


HELP = """
import sys, smart_tuner_main
def loaded(): return {name.split(".")[0] for name in sys.modules}
heavy = {"torch", "mlflow", "optuna", "numpy", "librosa", "matplotlib", "smart_tuner"}
assert not loaded() & heavy, loaded() & heavy
sys.argv = ["smart_tuner_main.py", "--help"]
try:
    smart_tuner_main.run()
except SystemExit as end:
    assert not end.code, end.code
assert not loaded() & heavy, loaded() & heavy
"""


def test_help_needs_no_heavy_library() -> None:
    shown = run(HELP)
    assert all(option in shown for option in ("--mode", "--trials", "--data", "--set", "--dry-run"))


LEAN = """
import sys
blocked = set(sys.argv[1].split(","))
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
import smart_tuner.checkpoint
import smart_tuner.training.journal
import smart_tuner.settings.settings
import smart_tuner.speech.batches
import smart_tuner.training.trainer
assert not {name.split(".")[0] for name in sys.modules} & blocked
"""


@pytest.mark.slow
def test_training_needs_torch_numpy_and_yaml_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[<>=\[]", requirement)[0] for requirement in project["dependencies"]}
    assert required > TRAINING_NEEDS
    blocked = {IMPORTED_AS.get(name, name) for name in required - TRAINING_NEEDS} | {"sqlalchemy"}
    assert {"mlflow", "optuna", "librosa", "soundfile", "typer"} < blocked
    run(LEAN, ",".join(sorted(blocked)))


@pytest.mark.slow
def test_a_report_needs_no_torch() -> None:
    run("import sys, smart_tuner.cli.report; assert 'torch' not in sys.modules")


def test_a_settings_file_is_read_without_torch() -> None:
    heavy = "{'torch', 'numpy', 'mlflow', 'optuna'}"
    run(f"import sys, smart_tuner.settings.settings; assert not {heavy} & set(sys.modules)")
