import os
import subprocess
import sys

import pytest
import torch

from mde_runtime.errors import MachineError, UsageError
from mde_train.machines import check_machines, naming_lost_processes

BY_TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "3"}


def test_as_many_devices_as_this_machine_has_are_taken():
    check_machines(torch.cuda.device_count() or os.cpu_count(), 1, {})


@pytest.mark.parametrize("num_devices", [torch.cuda.device_count() + os.cpu_count() + 1, 2**31 - 1])
def test_more_devices_than_this_machine_has_are_wrong_usage(num_devices):
    with pytest.raises(UsageError, match=r"--devices \d+: this machine has \d+ (GPUs|CPU cores); use \d+ or fewer"):
        check_machines(num_devices, 1, {})


def test_other_machines_without_torchrun_are_wrong_usage():
    with pytest.raises(
        UsageError, match="--num-nodes 3: the other processes would not be started; start the command with torchrun"
    ):
        check_machines(1, 3, {})


def test_other_machines_that_torchrun_started_are_taken():
    check_machines(1, 3, BY_TORCHRUN)


def test_other_counts_than_torchruns_are_wrong_usage():
    with pytest.raises(UsageError, match="torchrun started 1 processes on 3 machines; give --devices 1 --num-nodes 3"):
        check_machines(1, 2, BY_TORCHRUN)


OF_TWO = """
import os, sys
import torch
from mde_runtime.errors import MachineError
from mde_train.machines import naming_lost_processes

rank, meeting = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2)
torch.distributed.barrier()
if rank == 1:
    os._exit(9)  # as one that was killed
try:
    with naming_lost_processes():
        torch.distributed.all_reduce(torch.ones(1))
except MachineError as error:
    print(error)
    os._exit(error.exit_code)
"""


def test_a_process_whose_partner_is_gone_says_so_in_one_line(tmp_path):
    calls = [[sys.executable, "-c", OF_TWO, str(rank), str(tmp_path / "meeting")] for rank in range(2)]
    first, second = (subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for call in calls)
    said, _ = first.communicate(timeout=200)
    second.communicate()
    assert said.startswith("another process of this training ended (")
    assert said.endswith("); read its output, then continue with --resume\n")
    assert said.count("\n") == 1
    assert first.returncode == MachineError.exit_code


def test_another_error_of_a_step_is_left_as_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), naming_lost_processes():
        torch.ones(2, 3) @ torch.ones(2, 3)
