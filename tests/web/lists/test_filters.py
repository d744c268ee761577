"""A filter that is unknown or unreadable is refused, and never means everything."""

import json
from typing import Any

import pytest

from browser.stage import Stage
from web.asking import Answer, ask

LATER = "2099-01-01T00:00:00Z"
MIDDLE = "2098-06-01T00:00:00Z"
MIDDLE_MS = "4052419200000"

#: What somebody may have meant as a filter, and is none.
BAD = [
    "since=garbage",
    "until=2026-13-01T00:00:00Z",
    "until=0",
    "since=-1",
    "jobtipe=nothing",
    "jobtype=%20",
    "jobtype=a&jobtype=b",
    "group=00112233445566778",
]


@pytest.fixture
def many(stage: Stage) -> Stage:
    stage.push(*[{"jobtype": "odd" if n % 2 else "even", "at": LATER} for n in range(6)], {"jobtype": "ready"})
    return stage


def sizes(stage: Stage) -> tuple[int, int, int]:
    overview = stage.do(stage.server.engine.views.overview)
    return overview.enqueued, overview.scheduled, overview.dead


def post(stage: Stage, path: str, body: str) -> Answer:
    headers = {"Content_Type": "application/x-www-form-urlencoded"}
    return ask(stage.web_port, path, method="POST", body=body.encode(), **headers)


def api(stage: Stage, path: str, body: Any = None) -> Answer:
    raw = None if body is None else json.dumps(body).encode()
    return ask(stage.web_port, f"/api/v1{path}", body=raw, Content_Type="application/json")


@pytest.mark.parametrize("action", ["delete", "kill", "retry", "add_to_queue", "export"])
@pytest.mark.parametrize("bad", [*BAD, "jobtype=", "key=", "all=1"])
def test_a_form_with_a_bad_filter_changes_nothing(many: Stage, action: str, bad: str) -> None:
    answer = post(many, "/scheduled", f"action={action}&all=1&{bad}")
    assert answer.status == 400, answer.text
    assert sizes(many) == (1, 6, 0)


def test_what_is_meant_stands_in_the_form_and_is_one_thing(many: Stage) -> None:
    assert post(many, "/scheduled?jobtype=odd", "action=delete&all=1").status == 400
    assert post(many, "/scheduled", "action=delete&all=0").status == 400
    assert post(many, "/scheduled", "action=delete&jobtype=odd").status == 400
    assert post(many, "/queues/default", "action=clear&jobtype=odd").status == 400
    assert sizes(many) == (1, 6, 0)
    assert post(many, "/scheduled", f"action=delete&all=1&jobtype=odd&since={MIDDLE}").status == 302
    assert sizes(many) == (1, 3, 0)
    assert post(many, "/scheduled", "action=delete&all=1").status == 302
    assert sizes(many) == (1, 0, 0)


@pytest.mark.parametrize("bad", [*BAD, "age=5h", f"age=1d&since={MIDDLE_MS}"])
@pytest.mark.parametrize(
    "page", ["/scheduled?", "/morgue?confirm=delete&", "/retries?export=1&", "/scheduled?stream=1&", "/queues/default?"]
)
def test_a_page_with_a_bad_filter_says_so(many: Stage, page: str, bad: str) -> None:
    if page.startswith("/queues") and "age" in bad:
        return  # jobs in a queue have no age to choose by
    answer = ask(many.web_port, page + bad)
    assert answer.status == 400
    assert "That cannot be done" in answer.text


@pytest.mark.parametrize("path", ["/scheduled", "/dead", "/queues/default/jobs"])
@pytest.mark.parametrize("bad", [*BAD, "limit=x"])
def test_the_api_refuses_a_bad_filter(many: Stage, path: str, bad: str) -> None:
    answer = api(many, f"{path}?{bad}")
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_api_refuses_a_parameter_that_it_would_not_look_at(many: Stage) -> None:
    for path in ("/queues?jobtype=x", "/overview?x=1", "/workers?limit=4", "/batches?x=1", "/scheduled?order=random"):
        assert api(many, path).status == 422, path


@pytest.mark.parametrize(
    "chosen", [{"jobtipe": "x"}, {"jobtype": ""}, {"since": "garbage"}, {"until": 0}, {"since": ""}, {"jobtype": " "}]
)
def test_the_api_changes_nothing_for_a_bad_filter(many: Stage, chosen: dict[str, Any]) -> None:
    answer = api(many, "/scheduled", {"action": "discard", "filter": chosen})
    assert answer.status in (400, 422), answer.text
    assert sizes(many) == (1, 6, 0)


@pytest.mark.parametrize("instant", [MIDDLE, MIDDLE_MS, "2098-06-01T02:00:00%2B02:00"])
def test_the_api_takes_instants_as_milliseconds_and_as_rfc_3339(many: Stage, instant: str) -> None:
    many.push({"at": "2098-01-01T00:00:00Z", "jid": "early-job-1"})
    assert [job["jid"] for job in json.loads(api(many, f"/scheduled?until={instant}").body)["jobs"]] == ["early-job-1"]
    assert len(json.loads(api(many, f"/scheduled?since={instant}").body)["jobs"]) == 6


@pytest.mark.parametrize("instant", [MIDDLE, int(MIDDLE_MS), MIDDLE_MS])
def test_a_body_takes_them_too(many: Stage, instant: object) -> None:
    many.push({"at": "2098-01-01T00:00:00Z", "jid": "early-job-1"})
    answer = api(many, "/scheduled", {"action": "discard", "filter": {"until": instant}})
    assert json.loads(answer.body)["moved"] == 1
