import pytest
from click.testing import CliRunner

from lab import selftest


@pytest.mark.parametrize("option", [("--threads", "0"), ("--slower-permille", "-1"), ("--rule-out-percent", "0")])
def test_a_selftest_of_nothing_that_can_be_is_refused(tiny_bundle, option):
    ended = CliRunner().invoke(selftest.main, [str(tiny_bundle), "--num-comparisons", "1", *option])
    assert ended.exit_code == 2
    assert option[0] in ended.stderr
