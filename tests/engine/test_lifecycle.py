"""The table of moves and its picture in the documentation."""

from pathlib import Path

from lineshaft.lifecycle import MOVES, Event, Place, WorkerState, draw

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_page_shows_the_table_as_it_is() -> None:
    _, _, rest = PAGE.read_text().partition("```mermaid\n")
    diagram, _, _ = rest.partition("```")
    assert diagram == draw(), "write what lineshaft.lifecycle.draw() gives into docs/lifecycle.md"


def test_every_place_can_be_reached_and_left() -> None:
    assert {place for place, _ in MOVES} == set(Place) - {Place.GONE}
    assert {target for targets in MOVES.values() for target in targets} == set(Place) - {Place.NOWHERE}


def test_every_event_moves_something() -> None:
    assert {event for _, event in MOVES} == set(Event)


def test_the_diagram_has_a_line_for_every_move() -> None:
    assert len(draw().splitlines()) == 1 + sum(map(len, MOVES.values()))
    assert "    [*] --> ready: PUSH\n" in draw()
    assert "    leased --> [*]: ACK\n" in draw()


def test_worker_states_only_move_forward() -> None:
    assert [state.word for state in sorted(WorkerState)] == ["running", "quiet", "terminate"]
    assert max(WorkerState.TERMINATE, WorkerState.QUIET) is WorkerState.TERMINATE
