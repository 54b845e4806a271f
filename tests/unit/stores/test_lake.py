"""Folders of the lake: whole, or not in place."""

from __future__ import annotations

from pathlib import Path

from watershed.stores import lake


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)


def test_what_was_made_takes_the_place_of_what_lay_there(tmp_path: Path) -> None:
    place = tmp_path / "transaction" / "date=2026-11-20"
    fill(place, "half.parquet")
    made = lake.making(tmp_path, "day")
    fill(made, "whole.parquet")
    lake.move_in(made, place)
    assert [path.name for path in place.iterdir()] == ["whole.parquet"]
    assert not made.exists()


def test_making_begins_with_nothing_and_out_of_sight(tmp_path: Path) -> None:
    made = lake.making(tmp_path, "day")
    fill(made, "left.parquet")
    assert not lake.making(tmp_path, "day").exists()
    assert made.relative_to(tmp_path).parts[0].startswith(".")


def test_a_name_is_taken_as_it_is(tmp_path: Path) -> None:
    assert lake.uri(Path("/lake/date=2026-11-20")) == "file:///lake/date=2026-11-20"
