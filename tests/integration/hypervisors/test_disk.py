"""What a disk says about who wrote to it."""

from pathlib import Path

from services.hypervisors.process.disk import breaches, read_journal, recent_records, runs


def disk(path: Path, *lines: str) -> Path:
    """Lines of counter, epoch and host."""
    path.write_text("".join(f"{line} vm-1 1790000000.{n:03}\n" for n, line in enumerate(lines)), encoding="utf-8")
    return path


def test_journal_is_empty_when_there_is_no_disk(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none.disk") == []
    assert recent_records(tmp_path / "none.disk") == []


def test_runs_say_who_ran_when(tmp_path: Path) -> None:
    records = read_journal(disk(tmp_path / "d", "1 1 cmp-1", "2 1 cmp-1", "3 4 cmp-2"))
    assert [(run.epoch, run.host, run.first.counter, run.last.counter) for run in runs(records)] == [
        (1, "cmp-1", 1, 2),
        (4, "cmp-2", 3, 3),
    ]
    assert breaches(records) == []


def test_runs_are_two_when_the_guest_was_started_again_on_its_host(tmp_path: Path) -> None:
    records = read_journal(disk(tmp_path / "d", "1 1 cmp-1", "2 2 cmp-1"))
    assert [run.epoch for run in runs(records)] == [1, 2]
    assert breaches(records) == []


def test_breaches_name_both_when_two_guests_write_in_turn(tmp_path: Path) -> None:
    records = read_journal(disk(tmp_path / "d", "1 1 cmp-1", "2 2 cmp-2", "2 1 cmp-1", "3 2 cmp-2"))
    interleaved = [line for line in breaches(records) if "two guests" in line]
    assert len(interleaved) == 2
    assert "epoch 1 on cmp-1" in interleaved[0]


def test_breaches_tell_when_one_epoch_ran_on_two_hosts(tmp_path: Path) -> None:
    records = read_journal(disk(tmp_path / "d", "1 1 cmp-1", "2 1 cmp-2"))
    assert ["two guests" in line for line in breaches(records)] == [True]


def test_breaches_tell_when_writes_are_lost(tmp_path: Path) -> None:
    records = read_journal(disk(tmp_path / "d", "1 1 cmp-1", "5 1 cmp-1", "3 2 cmp-2"))
    assert ["a write is lost" in line for line in breaches(records)] == [True, True]


def test_journal_skips_a_line_when_it_is_torn(tmp_path: Path) -> None:
    path = disk(tmp_path / "d", "1 1 cmp-1", "2 1 cmp-1")
    with path.open("a", encoding="utf-8") as file:
        file.write("3 1 cmp-1 vm-1 17900")
    assert [record.counter for record in read_journal(path)] == [1, 2]


def test_recent_records_are_the_last_ones_when_the_disk_is_long(tmp_path: Path) -> None:
    path = disk(tmp_path / "d", *(f"{n} 1 cmp-1" for n in range(1, 1000)))
    recent = recent_records(path)
    assert recent == read_journal(path)[-len(recent) :]
    assert 10 < len(recent) < 999
