import os
import select
import signal
import sys
import time

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training import launch
from hf_scratch.training.arguments import parse_arguments

ACCELERATE = ["python", "/bin/accelerate", "launch", "--cpu"]


@pytest.fixture(autouse=True)
def no_config(monkeypatch, tmp_path):
    monkeypatch.setattr(launch.config_args, "default_config_file", str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("words", "environment", "asked"),
    [
        ([], {}, 1),
        ([*ACCELERATE, "--num_processes", "2", "run_glue_style.py"], {}, 2),
        ([*ACCELERATE, "--num-processes=3", "run_glue_style.py"], {}, 3),
        ([*ACCELERATE, "run_glue_style.py"], {}, 1),
        (["python", "-m", "accelerate.commands.launch", "--num_processes", "2"], {}, 2),
        ([], {"WORLD_SIZE": "3"}, 3),  # torchrun's: on CPUs without --use_cpu each of its processes is alone
        ([], {"SLURM_STEP_NUM_TASKS": "4"}, 4),
        ([], {"SLURM_NTASKS": "4"}, 1),  # of the job, in whose script one process is right
        ([], {"OMPI_COMM_WORLD_SIZE": "2"}, 2),
        (["/usr/bin/python", "/usr/bin/torchrun", "--nproc_per_node", "2"], {}, 1),  # it starts what it was asked for
    ],
)
def test_how_many_processes_were_asked_for(words, environment, asked):
    assert launch.asked_for(words, environment)[0] == asked


def test_a_config_file_asks_too(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nnum_processes: 5\nuse_cpu: true\n")
    assert launch.asked_for([*ACCELERATE, "--config_file", str(path)], {})[0] == 5


def test_fewer_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setattr(launch, "launcher", lambda: [*ACCELERATE, "--num_processes", "2"])
    launch.check_processes(2)
    with pytest.raises(UserError, match=r"accelerate launch asks for 2 processes, but 1 is running .*--nproc_per_node 2"):
        launch.check_processes(1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
@pytest.mark.parametrize("starter", ["torchrun", "ladder", None])
def test_a_process_ends_with_its_launcher(starter, monkeypatch):
    launched = starter is not None
    monkeypatch.setattr(launch, "launcher", lambda: ["torchrun"] * (starter == "torchrun"))
    monkeypatch.setattr(launch, "parent_words", launch.launcher)
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        environment = launch.environment_alone()
        if os.fork() == 0:
            if starter == "ladder":
                os.environ.update(environment)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            launch.end_with_launcher()
            os.write(write, f"{os.getpid()}".encode())
        time.sleep(60)
        os._exit(0)
    child = int(os.read(read, 16))
    os.close(write)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    ended = select.select([read], [], [], 10 if launched else 0.1)[0]  # nobody is left who could write
    os.close(read)
    if not launched:
        os.kill(child, signal.SIGKILL)
    assert bool(ended) == launched


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
@pytest.mark.parametrize("environment", [{}, {launch.STARTER: "-1"}])
def test_a_launcher_that_has_ended_before_ends_a_process_too(environment, monkeypatch):
    """Linux tells of no end that came before it was asked to tell."""
    monkeypatch.setattr(launch, "launcher", lambda: [] if environment else ["torchrun"])
    monkeypatch.setattr(launch, "parent_words", lambda: [] if environment else ["init"])
    monkeypatch.setattr(os, "environ", os.environ | environment)
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        launch.end_with_launcher()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGTERM


@pytest.fixture
def arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["run_glue_style.py"])
    flags = ["--model_type", "scratch", "--train_file", "my rows.csv", "--token", "hf_secret", "--use_cpu"]
    return parse_arguments(
        [*flags, "--overwrite_output_dir", "--output_dir", "run", "--resume_from_checkpoint", "run/checkpoint-3"]
    )


def test_the_command_that_goes_on_is_the_same_with_its_checkpoint(arguments, monkeypatch):
    monkeypatch.setattr(launch, "launcher", lambda: [])
    flags = "--model_type scratch --train_file 'my rows.csv' --token '***' --use_cpu --output_dir run"
    assert launch.resume_command(arguments).endswith(f" run_glue_style.py {flags} --resume_from_checkpoint last")


def test_under_a_launcher_the_command_starts_with_it(arguments, monkeypatch):
    words = ["python", "/bin/torchrun", "--nproc_per_node", "2", "run_glue_style.py", "--model_type", "scratch"]
    monkeypatch.setattr(launch, "launcher", lambda: words)
    assert launch.resume_command(arguments).startswith("python /bin/torchrun --nproc_per_node 2 run_glue_style.py --model_type")
    assert launch.record(arguments)["launcher"] == words[:5]


def test_a_verb_goes_on_by_its_module(arguments, monkeypatch):
    arguments.command = ["/somewhere/hf_scratch/__main__.py", "pretrain", "--task_name", "rte", "--output_dir", "run"]
    monkeypatch.setattr(launch, "launcher", lambda: [])
    rest = "hf_scratch pretrain --task_name rte --output_dir run --resume_from_checkpoint last"
    assert launch.resume_command(arguments).endswith(f" -m {rest}")
    monkeypatch.setattr(launch, "launcher", lambda: ["/bin/torchrun", "-m", "hf_scratch", "pretrain", "--task_name", "rte"])
    assert launch.resume_command(arguments) == f"/bin/torchrun -m {rest}"


def test_what_a_process_starts_belongs_to_no_launch(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP", "MINE"):
        monkeypatch.setenv(name, "1")
    alone = launch.environment_alone()
    assert alone["MINE"] == "1" and "PATH" in alone and alone[launch.STARTER] == str(os.getpid())
    assert not [name for name in alone if "RANK" in name or name.startswith(("WORLD", "MASTER", "TORCHELASTIC", "ACCELERATE"))]


def test_the_folder_is_named_where_it_was_not(arguments, monkeypatch):
    monkeypatch.setattr(launch, "launcher", lambda: [])
    arguments.command = ["run_glue_style.py", "--recipe", "quickstart"]
    arguments.training.output_dir = "runs/quickstart-1"
    assert launch.resume_command(arguments).endswith("--output_dir runs/quickstart-1 --resume_from_checkpoint last")
