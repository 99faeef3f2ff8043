import ast
import re
import subprocess
from collections import Counter

import pytest

REGISTRY_HOSTS = tuple(
    ".".join(labels)
    for labels in (
        *(("pypi", "org"), ("pythonhosted", "org"), ("download", "pytorch", "org"), ("pypi", "nvidia", "com")),
        *(("npmjs", "org"), ("deb", "debian", "org"), ("conda", "anaconda", "org")),
    )
)
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.$}])/(?:work|root|home|Users)/\w")


@pytest.fixture
def texts(root):
    """The text of every file in the repository, by its name."""
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    paths = (root / name for name in listing.splitlines())
    contents = {path: path.read_bytes() for path in paths if path.exists()}
    return {str(path.relative_to(root)): content.decode() for path, content in contents.items() if b"\0" not in content}


def lines_with(texts, is_bad):
    return [f"{name}: {line.strip()}" for name, text in texts.items() for line in text.splitlines() if is_bad(line)]


def test_no_file_names_a_package_registrys_host(texts):
    assert lines_with(texts, lambda line: any(host in line for host in REGISTRY_HOSTS)) == []


def test_no_file_holds_a_path_of_somebodys_machine(texts):
    assert lines_with(texts, SOMEBODYS_FOLDER.search) == []


def test_such_lines_would_be_found():
    home = "/".join(("", "home", "me"))
    texts = {"a": f"at {home}", "b": f"or {REGISTRY_HOSTS[0]}", "c": f"and a{home}, ${{PLACE}}{home}"}
    assert lines_with(texts, SOMEBODYS_FOLDER.search) == [f"a: at {home}"]
    assert lines_with(texts, lambda line: any(host in line for host in REGISTRY_HOSTS)) == [
        f"b: or {REGISTRY_HOSTS[0]}"
    ]


def test_no_python_file_has_a_name_that_says_nothing(texts):
    empty_names = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py", "base.py", "manager.py"}
    assert [name for name in texts if name.rsplit("/", 1)[-1] in empty_names] == []


ASKS = re.compile(r'"""(What|Which|How|Why|Who|Where|Whether|When)\b')


def test_every_docstring_of_a_module_names_the_thing_and_asks_nothing(texts):
    assert [name for name, text in texts.items() if name.endswith(".py") and ASKS.match(text)] == []
    assert ASKS.match('"""How a frame is read."""')


def test_no_two_classes_of_a_package_share_a_name(texts):
    classes = [
        (name.split("/")[1], found)
        for name, text in texts.items()
        if re.match(r"(runtime|train|export|bench)/mde_\w+/.*\.py$", name)
        for found in re.findall(r"^class ([A-Z]\w*)", text, re.MULTILINE)
    ]
    assert [shared for shared, count in Counter(classes).items() if count > 1] == []
    assert ("mde_runtime", "DepthEstimator") in classes


def test_every_link_of_the_documentation_leads_somewhere(root, texts):
    links = [
        (name, target)
        for name, text in texts.items()
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target
    ]
    assert [(name, target) for name, target in links if not (root / name).parent.joinpath(target).exists()] == []


def test_one_module_alone_says_how_we_are_installed(texts):
    sources = {name: text for name, text in texts.items() if re.match(r"(runtime|train|export|bench)/mde_\w+/", name)}
    assert {name for name, text in sources.items() if "mde-toolchain[" in text} == {
        "runtime/mde_runtime/installation.py"
    }


POSIX_ONLY = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}


def unguarded_imports(source):
    """POSIX-only modules that a module imports as it loads, outside any `try` or `if`."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.append(node.module)
    return sorted({name.partition(".")[0] for name in found} & POSIX_ONLY)


def test_no_module_of_the_product_needs_posix_to_load(texts):
    product = {name: text for name, text in texts.items() if re.match(r"(runtime|train|export|bench)/.*\.py$", name)}
    found = {name: names for name, text in product.items() if (names := unguarded_imports(text))}
    assert found == {}
    assert "bench/mde_bench/timing/worker_process.py" in product


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import resource", ["resource"]),
        ("import os, pwd\nfrom termios import tcgetattr", ["pwd", "termios"]),
        ("try:\n    import resource\nexcept ImportError:\n    pass", []),
        ("import os\nif os.name != 'nt':\n    import fcntl", []),
        ("def ask():\n    import pwd", []),
        ("import resources", []),
    ],
)
def test_an_import_of_posix_is_found_where_nothing_guards_it(source, found):
    assert unguarded_imports(source) == found
