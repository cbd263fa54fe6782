from pathlib import Path

import pytest

from handlers.__main__ import main
from tests.handlers.conftest import NOW


@pytest.fixture
def run(lab, capsys):
    def command(*words: str) -> tuple[int, str]:
        code = main(["--home", str(lab.home), *words])
        return code, "".join(capsys.readouterr())

    return command


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_dropped_files_lie_whole_in_the_incoming_folder_and_nothing_else_does(lab, run):
    assert run("drop")[0] == 0
    assert names(lab.home / "incoming") == [f"lab-1-2024-03-0{day}.csv" for day in range(4, 9)]
    run("drop", "--bad")
    assert {"bad-columns.csv", "bad-value.csv"} <= set(names(lab.home / "incoming"))
    assert names(lab.home) == ["incoming"]


def test_drifted_files_come_one_at_a_time(lab, run):
    assert "lab-2-2024-03-09.csv" in run("drop", "--drift")[1]
    assert "lab-2-2024-03-10.csv" in run("drop", "--drift")[1]
    assert "already" in run("drop", "--drift")[1]


def test_a_count_drops_the_next_files_in_the_order_of_their_days(lab, run):
    run("drop", "--count", "3")
    assert names(lab.home / "incoming") == [f"lab-1-2024-03-0{day}.csv" for day in (4, 5, 6)]
    assert run("drop")[1].count("dropped") == 2


def test_the_champion_its_history_and_its_answers_can_be_seen(lab, run):
    deployed = lab.deploy_first()
    assert f"* {deployed.model[:12]}" in run("show")[1]
    assert f"promoted  {deployed.model[:12]}" in run("history")[1]
    assert "S0001  malignant 0." in run("predict", "S0001")[1]


def test_what_cannot_be_done_is_said_in_a_line(lab, run):
    assert "no champion yet" in run("show")[1]
    assert run("rollback") == (1, "there is no champion to return to\n")
    assert run("predict", "S0001") == (1, "there is no champion yet; drop more data\n")
    lab.deploy_first()
    code, said = run("predict", "S0001", "--as-of", f"{NOW:%Y}-01-01")
    assert (code, said) == (1, "no reading of S0001 at that time\n")
