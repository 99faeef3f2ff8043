"""The workflows: what a linter says of them, and what the shell of gpu-bench.yml does, step by step, with stand-ins."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runners and the linter are those of Linux")

ACTIONLINT = Path(sys.executable).parent / "actionlint"
ZIZMOR = Path(sys.executable).parent / "zizmor"
HERE = "./.github/workflows/gpu-bench.yml"
INSPECTED = '{"certificates": {"fp32": {}, "fp16": {}}}'
OURS = ("mde-bundle", "mde-bench", "gh")
SYSTEMS = ("bash", "cat", "cut", "mkdir", "rm", "sha256sum")  # and no gh that this machine may have


@dataclass(frozen=True)
class Runner:
    """A self-hosted runner as far as the shell of a step sees it. Every stand-in writes its arguments to `calls`."""

    folder: Path
    steps: dict[str, str]

    def install(self, name: str, does: str = "") -> None:
        """Put a command on the PATH that notes how it was called and then does this."""
        file = self.folder / "bin" / name
        file.write_text(f'#!/bin/bash\necho "{name} $*" >> "{self.folder}/calls"\n{does}\n')
        file.chmod(0o755)

    def step(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one step, with what the steps before it left in the environment."""
        files = {file: str(self.folder / file) for file in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        environment = {
            **{"PATH": str(self.folder / "bin"), "RUNNER_TEMP": str(self.folder / "temp")},
            **{"BUNDLE": "model.mde", "DATA": "/data", "FRAMES": "50", "GATE": "", "LABEL": "jetson"},
            **{"ENVIRONMENT": "", "GITHUB_REPOSITORY": "me/robot", "NUMBER": "7", "GH_TOKEN": "none"},
            **files,
            **dict(line.split("=", 1) for line in self.read("GITHUB_ENV")),
            **variables,
        }
        # GitHub's own line for `shell: bash`, and -u on top: a variable that nobody sets is an error
        shell = ("bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", self.steps[name])
        return subprocess.run(shell, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def read(self, name: str) -> list[str]:
        """The lines of a file that the steps wrote."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def calls(self) -> list[str]:
        """How the stand-ins were called."""
        return self.read("calls")


@pytest.fixture
def workflow(root):
    """gpu-bench.yml, read."""
    return yaml.safe_load((root / ".github/workflows/gpu-bench.yml").read_text())


@pytest.fixture
def example(root):
    """The job of the usage example at the head of gpu-bench.yml, read."""
    text = (root / ".github/workflows/gpu-bench.yml").read_text()
    lines = re.findall(r"^#(?: (.*))?$", text.partition("\nname:")[0], flags=re.MULTILINE)
    return yaml.safe_load("\n".join(line for line in lines if line.startswith("  ")))["jobs"]["bench"]


@pytest.fixture
def runner(workflow, tmp_path):
    """A runner with everything installed, on which `Set up` has run."""
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["bench"]["steps"] if "run" in step}
    for folder in ("bin", "temp"):
        (tmp_path / folder).mkdir()
    for name in SYSTEMS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    made = Runner(tmp_path, steps)
    made.install("mde-bundle", f"if [ $1 = inspect ]; then echo '{INSPECTED}'; fi")
    made.install("mde-bench", 'echo "## a table" > "$OUT/summary.md"')
    made.install("gh")
    assert made.step("Set up").returncode == 0
    return made


@pytest.fixture
def project(root, tmp_path):
    """A project that holds our workflows and nothing else."""
    workflows = tmp_path / ".github" / "workflows"
    shutil.copytree(root / ".github/workflows", workflows)
    (tmp_path / ".git").mkdir()  # by which actionlint knows the root
    return tmp_path


def lint(project, caller=None):
    """What actionlint says of a project's workflows and of one more, whatever other linters this machine has."""
    if caller:
        workflow = {"on": "pull_request", "jobs": {"bench": caller}}
        (project / ".github/workflows/caller.yml").write_text(yaml.safe_dump(workflow))
    command = (ACTIONLINT, "-shellcheck=", "-pyflakes=", "-oneline")
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False).stdout


def test_actionlint_finds_nothing_in_the_workflows(project):
    assert lint(project) == ""


@pytest.fixture
def audited(root, project):
    """A function that gives what zizmor says of a project's workflows, by our own rules and without a network."""
    if not ZIZMOR.exists():
        pytest.skip("zizmor is not installed; make setup")
    shutil.copy(root / ".github/zizmor.yml", project / ".github")

    def audit():
        command = (ZIZMOR, "--offline", "--no-progress", "--quiet", "--format", "plain", ".github")
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    return audit


def test_zizmor_finds_no_hole_in_the_workflows(audited):
    found = audited()
    assert found.returncode == 0, found.stdout


def test_zizmor_would_find_a_title_that_is_run_by_a_shell(audited, project):
    steps = [{"run": "echo ${{ github.event.pull_request.title }}"}]
    workflow = {"on": "pull_request", "permissions": {}, "jobs": {"one": {"runs-on": "ubuntu-latest", "steps": steps}}}
    (project / ".github/workflows/open.yml").write_text(yaml.safe_dump(workflow))
    assert "template-injection" in audited().stdout


def test_a_caller_that_does_as_the_usage_example_is_right(example, project):
    assert lint(project, {**example, "uses": HERE}) == ""


@pytest.mark.parametrize(
    ("left_out", "said"),
    [("permissions", 'requires "pull-requests: write"'), ("with", 'input "bundle" is required')],
)
def test_a_caller_that_leaves_out_a_part_of_the_usage_example_is_not(example, project, left_out, said):
    caller = {key: value for key, value in example.items() if key != left_out}
    assert said in lint(project, {**caller, "uses": HERE})


def test_no_second_bench_of_a_runner_cancels_another(workflow):
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert workflow["concurrency"]["queue"] == "max"


def test_the_engine_of_every_precision_is_built_before_the_bench(runner, workflow):
    assert runner.step("Engines").returncode == 0
    assert runner.step("Bench").returncode == 0
    assert [call.split()[:2] for call in runner.calls] == [
        *(["mde-bundle", "inspect"], ["mde-bundle", "engine"], ["mde-bundle", "engine"], ["mde-bench", "run"])
    ]
    assert [call.split()[2:] for call in runner.calls[1:3]] == [
        ["model.mde", "--precision", precision] for precision in ("fp32", "fp16")
    ]
    names = [step.get("name") for step in workflow["jobs"]["bench"]["steps"]]
    assert names.index("Engines") < names.index("Bench")


def test_an_engine_that_fails_its_verification_leaves_the_bench_to_mark_its_row(runner):
    runner.install("mde-bundle", f"if [ $1 = inspect ]; then echo '{INSPECTED}'; else exit 1; fi")
    ended = runner.step("Engines")
    assert ended.returncode == 0
    assert "::warning::the fp16 engine failed its verification" in ended.stdout


@pytest.mark.parametrize("code", [3, 4])
def test_an_engine_that_cannot_be_built_ends_the_job_with_its_exit_code(runner, code):
    runner.install("mde-bundle", f"if [ $1 = inspect ]; then echo '{INSPECTED}'; else exit {code}; fi")
    assert runner.step("Engines").returncode == code


def test_a_bundle_that_cannot_be_read_ends_the_job(runner):
    runner.install("mde-bundle", "exit 3")
    assert runner.step("Engines").returncode != 0


@pytest.mark.parametrize("missing", ["mde-bundle", "mde-bench"])
def test_a_runner_without_the_toolchain_is_told_what_to_install(runner, missing):
    (runner.folder / "bin" / missing).unlink()
    ended = runner.step("Set up")
    assert ended.returncode == 1
    assert f"::error::{missing} is not on this runner; install mde-toolchain" in ended.stdout


def test_the_commands_are_taken_from_the_environment_that_was_named(runner):
    environment = runner.folder / "environment"
    (environment / "bin").mkdir(parents=True)
    for name in OURS:
        (runner.folder / "bin" / name).rename(environment / "bin" / name)
    assert runner.step("Set up").returncode == 1
    assert runner.step("Set up", ENVIRONMENT=str(environment)).returncode == 0
    assert runner.read("GITHUB_PATH") == [f"{environment}/bin"]


def test_results_of_an_earlier_job_are_gone(runner):
    stale = runner.folder / "temp/gpu-bench/summary.md"
    stale.write_text("an old table")
    assert runner.step("Set up").returncode == 0
    assert not stale.exists()


def test_a_gate_is_passed_on_where_there_is_one(runner):
    for gate in ("", "gate.toml"):
        assert runner.step("Bench", GATE=gate).returncode == 0
    without, with_one = runner.calls
    assert "--gate" not in without
    assert with_one.endswith("--gate gate.toml")


def test_the_verdict_of_the_bench_is_that_of_the_job(runner):
    runner.install("mde-bench", "exit 5")
    assert runner.step("Bench").returncode == 5


def test_the_table_goes_to_the_summary_and_a_missing_one_does_not(runner):
    assert runner.step("Summary").returncode == 0
    assert runner.read("GITHUB_STEP_SUMMARY") == []
    runner.step("Bench")
    assert runner.step("Summary").returncode == 0
    assert runner.read("GITHUB_STEP_SUMMARY") == ["## a table"]


def test_the_first_comment_is_made_and_the_next_edits_it(runner):
    runner.step("Bench")
    (key,) = (line.removeprefix("KEY=") for line in runner.read("GITHUB_ENV") if line.startswith("KEY="))
    assert runner.step("Comment").returncode == 0
    asks, posts = runner.calls[-2:]
    assert f"<!-- gpu-bench {key} -->" in asks
    assert "--method POST repos/me/robot/issues/7/comments" in posts
    comment = runner.read("temp/gpu-bench/comment.md")
    assert comment == [f"<!-- gpu-bench {key} -->", "model.mde on jetson", "", "## a table"]

    runner.install("gh", 'case "$*" in *--paginate*) printf "31\\n32\\n" ;; esac')  # two comments begin with the marker
    assert runner.step("Comment").returncode == 0
    assert "--method PATCH repos/me/robot/issues/comments/31 " in runner.calls[-1]


@pytest.mark.parametrize("other", [{"LABEL": "orin"}, {"BUNDLE": "other.mde"}, {"DATA": "/other"}, {"GATE": "g.toml"}])
def test_two_benches_of_one_pull_request_have_different_comments_and_artefacts(runner, workflow, other):
    runner.step("Set up")
    runner.step("Set up", **other)
    first, again, another = [line for line in runner.read("GITHUB_ENV") if line.startswith("KEY=")]
    assert first == again != another
    (upload,) = (step for step in workflow["jobs"]["bench"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert "${{ env.KEY }}" in upload["with"]["name"]


def test_without_gh_the_job_goes_on_and_says_why_there_is_no_comment(runner):
    runner.step("Bench")
    (runner.folder / "bin/gh").unlink()
    ended = runner.step("Comment")
    assert ended.returncode == 0
    assert "::warning::gh is not on this runner" in ended.stdout


def test_a_comment_that_github_refuses_fails_the_step(runner):
    runner.step("Bench")
    runner.install("gh", "exit 1")
    assert runner.step("Comment").returncode != 0
