"""INFO as tables."""

import io

from rich.console import Console

from lineshaft.cli.info import info_tables

ANSWER = {
    "now": "2023-11-14T22:13:20Z",
    "server_utc_time": "22:13:20 UTC",
    "faktory": {
        "total_failures": 3,
        "total_processed": 1234567,
        "total_queues": 3,
        "queues": {"b": 5, "a": 5, "[red]big[/red]": 1000},
        "sets": {"scheduled": 1, "retries": 0, "dead": 2, "working": 4},
        "tasks": {},
    },
    "server": {"description": "Lineshaft", "faktory_version": "1.10.0", "connections": 7},
}


def printed(answer):
    """Each table's rows, as the words of their lines."""
    tables = []
    for table in info_tables(answer):
        paper = io.StringIO()
        Console(width=80, file=paper).print(table)
        lines = paper.getvalue().splitlines()
        rows = [[word for word in line.split() if word.strip("│┃")] for line in lines[1:]]
        tables.append((lines[0].strip(), [row for row in rows if row and row[0][0] not in "┏┡└┌"]))
    return tables


def test_three_tables_with_the_longest_queue_first():
    assert printed(ANSWER) == [
        (
            "Server",
            [
                ["description", "Lineshaft"],
                ["faktory_version", "1.10.0"],
                ["connections", "7"],
                ["total_failures", "3"],
                ["total_processed", "1,234,567"],
                ["total_queues", "3"],
            ],
        ),
        ("Queues", [["jobs"], ["[red]big[/red]", "1,000"], ["a", "5"], ["b", "5"]]),
        ("Sets", [["jobs"], ["scheduled", "1"], ["retries", "0"], ["dead", "2"], ["working", "4"]]),
    ]


def test_an_empty_server():
    titles_and_rows = printed({"faktory": {"queues": {}, "sets": {}}, "server": {}})
    assert titles_and_rows == [("Server", [["none"]]), ("Queues", [["jobs"], ["none"]]), ("Sets", [["jobs"], ["none"]])]
