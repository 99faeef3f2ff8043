import os

import pytest
import torch

from mde_runtime.errors import UsageError
from mde_train.machines import check_machines

BY_TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "3"}


def test_as_many_devices_as_this_machine_has_are_taken():
    check_machines(torch.cuda.device_count() or os.cpu_count(), 1, {})


@pytest.mark.parametrize("num_devices", [torch.cuda.device_count() + os.cpu_count() + 1, 2**31 - 1])
def test_more_devices_than_this_machine_has_are_wrong_usage(num_devices):
    with pytest.raises(UsageError, match=r"--devices \d+: this machine has \d+ (GPUs|CPU cores); give \d+ or fewer"):
        check_machines(num_devices, 1, {})


def test_other_machines_without_torchrun_are_wrong_usage():
    with pytest.raises(UsageError, match="--num-nodes 3: nobody would start the others; start the command by torchrun"):
        check_machines(1, 3, {})


def test_other_machines_that_torchrun_started_are_taken():
    check_machines(1, 3, BY_TORCHRUN)


def test_other_counts_than_torchruns_are_wrong_usage():
    with pytest.raises(UsageError, match="torchrun started 1 processes on 3 machines; give --devices 1 --num-nodes 3"):
        check_machines(1, 2, BY_TORCHRUN)
