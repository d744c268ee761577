"""The HTTP API: what each operation does, who may use it, and what is said when it cannot be."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from browser.stage import Stage, staged
from lineshaft.config import Cron, CronJob, Secret
from lineshaft.config.entries import ApiToken, WebUser
from lineshaft.config.model import Api, Web
from lineshaft.web.api.table import OPERATIONS
from lineshaft.web.problem import API
from web.asking import Answer, ask

LATER = "2099-01-01T00:00:00Z"

TOKENS = {
    "pusher": ApiToken(Secret("t-push"), ("push",)),
    "looker": ApiToken(Secret("sha256:e7f4ae7c7de1ef6c2f8b1ebd1d1b0a2a6b0b8a9cfbb6f6d0d3a3f2f5b4a6c1d2"), ("read",)),
    "reader": ApiToken(Secret("t-read"), ("read",)),
    "owner": ApiToken(Secret("t-admin"), ("admin",)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    cron = (Cron(CronJob("Report"), "0 3 1 1 *", name="yearly"),)
    users = {"rick": WebUser(Secret("rick's"), "reader")}
    with staged(tmp_path_factory.mktemp("api"), api=Api(TOKENS), web=Web(users=users), cron=cron) as stage:
        yield stage


@pytest.fixture
def api(served: Stage) -> Stage:
    served.clear()
    return served


def call(stage: Stage, method: str, path: str, body: Any = None, token: str = "t-admin") -> Answer:
    raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return ask(stage.web_port, API + path, method=method, body=raw, Content_Type="application/json", **headers)


def get(stage: Stage, path: str) -> Any:
    answer = call(stage, "GET", path)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def test_a_job_is_pushed_and_found(api: Stage) -> None:
    answer = call(
        api, "POST", "/jobs", b'{"jobtype":"mail","args":[1.50,{"b":1,"a":2}],"queue":"mails"}', token="t-push"
    )
    assert answer.status == 201
    jid = json.loads(answer.body)["jid"]
    found = call(api, "GET", f"/jobs/{jid}")
    assert b'"args":[1.50,{"b":1,"a":2}]' in found.body, "not a byte of the arguments was changed"
    (job,) = json.loads(found.body)
    assert (job["place"], job["queue"], job["jobtype"]) == ("ready", "mails", "mail")
    assert get(api, "/overview")["enqueued"] == 1
    assert [queue["name"] for queue in get(api, "/queues")["queues"]] == ["mails"]
    assert [job["jid"] for job in get(api, "/queues/mails/jobs")["jobs"]] == [jid]


def test_many_jobs_are_pushed_at_once(api: Stage) -> None:
    jobs = [{"jobtype": "mail", "args": [n]} for n in range(50)] + [{"jobtype": "", "args": [], "jid": "12345678-bad"}]
    answer = json.loads(call(api, "POST", "/jobs/bulk", jobs).body)
    assert len(answer["jids"]) == 50
    assert answer["errors"] == {"12345678-bad": "jobs must have a jobtype parameter"}


def test_a_job_goes_where_it_is_told(api: Stage) -> None:
    jid = "1234/5678 ü?#"
    path = f"/jobs/{quote(jid, safe='')}"
    api.push({"jid": jid, "at": LATER, "jobtype": "x"})
    assert call(api, "POST", f"{path}/reschedule", {"at": "2098-01-01T00:00:00+01:00"}).status == 204
    assert get(api, path)[0]["due"] == "2097-12-31T23:00:00.000Z"
    assert call(api, "POST", f"{path}/kill").status == 204
    assert get(api, path)[0]["place"] == "dead"
    assert call(api, "POST", f"{path}/run").status == 204
    assert get(api, path)[0]["place"] == "ready"
    assert call(api, "POST", f"{path}/cancel").status == 204
    assert call(api, "GET", path).status == 404
    assert call(api, "POST", f"{path}/cancel").status == 404
    assert call(api, "POST", f"{path}/run").status == 404


def test_sets_are_paged_filtered_and_changed(api: Stage) -> None:
    api.push(*[{"jobtype": "odd" if n % 2 else "even", "args": [n], "at": LATER} for n in range(10)])
    first = get(api, "/scheduled?limit=3")
    rest = get(api, f"/scheduled?limit=100&cursor={first['next']}")
    assert [job["args"][0] for job in first["jobs"] + rest["jobs"]] == list(range(10))
    assert len(get(api, "/scheduled?jobtype=odd")["jobs"]) == 5
    done = call(api, "POST", "/scheduled", {"action": "discard", "filter": {"jobtype": "odd"}})
    assert json.loads(done.body) == {"moved": 5, "goes_on": False}
    jids = [job["jid"] for job in get(api, "/scheduled?order=newest")["jobs"]]
    assert json.loads(call(api, "POST", "/scheduled", {"action": "requeue", "jids": jids[:2]}).body)["moved"] == 2
    assert get(api, "/overview")["scheduled"] == 3


def test_queues_are_handled(api: Stage) -> None:
    api.push({"queue": "mail"})
    assert call(api, "POST", "/queues/mail/pause").status == 204
    assert get(api, "/queues/mail")["paused"] is True
    assert call(api, "POST", "/queues/mail/resume").status == 204
    assert call(api, "POST", "/queues/mail/clear").status == 204
    assert get(api, "/queues/mail")["size"] == 0
    assert call(api, "DELETE", "/queues/mail").status == 204
    assert call(api, "GET", "/queues/mail").status == 404


def test_workers_batches_and_periodic_jobs(api: Stage) -> None:
    with api.worker("api-w") as worker:
        api.push({"jobtype": "long"})
        worker.fetch("default")
        told = get(api, "/workers")
        assert [one["wid"] for one in told["workers"]] == ["api-w"]
        assert [(held["jobtype"], held["worker"]) for held in told["held"]] == [("long", "api-w")]
        assert call(api, "POST", "/workers/api-w/quiet").status == 204
        assert worker.command(b'BEAT {"wid":"api-w"}') == b'{"state":"quiet"}'
        bid = worker.command(b'BATCH NEW {"success":{"jobtype":"Done","args":[]}}').decode()
    assert get(api, f"/batches/{bid}")["total"] == 0
    assert [batch["bid"] for batch in get(api, "/batches")["batches"]] == [bid]
    assert call(api, "GET", "/batches/b-none").status == 404
    assert [job["name"] for job in get(api, "/periodic")] == ["yearly"]
    assert json.loads(call(api, "POST", "/periodic/yearly/run").body)["jid"]
    assert call(api, "POST", "/periodic/yearly/pause").status == 200
    assert get(api, "/periodic")[0]["paused"] is True


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        ("", "GET", "/overview", 401),
        ("wrong", "GET", "/overview", 401),
        ("t-push", "GET", "/overview", 403),
        ("t-read", "GET", "/overview", 200),
        ("t-read", "POST", "/jobs", 403),
        ("t-push", "POST", "/jobs", 201),
        ("t-admin", "POST", "/jobs", 201),
        ("t-read", "DELETE", "/queues/x", 403),
        ("t-push", "POST", "/queues/x/pause", 403),
        ("t-admin", "POST", "/queues/x/pause", 404),
    ],
)
def test_a_token_may_what_its_scopes_say(api: Stage, token: str, method: str, path: str, status: int) -> None:
    body = {"jobtype": "x", "args": []} if path == "/jobs" else None
    assert call(api, method, path, body, token=token).status == status


def test_a_token_opens_the_api_and_the_metrics_alone(api: Stage) -> None:
    for path, status in (("/", 401), ("/stats", 401), ("/metrics", 200), (f"{API}/openapi.json", 200)):
        assert ask(api.web_port, path, Authorization="Bearer t-read").status == status, path
    assert ask(api.web_port, "/metrics", Authorization="Bearer t-push").status == 403


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "invalid JSON"),
        (b"[]", 400, "invalid JSON"),
        (b'{"jobtype":"x"}', 422, "jobs must have an args parameter"),
        (b'{"jobtype":"x","args":[],"queue":"a b"}', 422, "queue names must match"),
        (b'{"jobtype":"x","args":[],"at":"soon"}', 422, "invalid timestamp"),
        (b'{"jobtype":"x","args":{}}', 422, "args must be an array"),
        (b'{"jobtype":"x","args":[],"jid":7}', 422, "invalid JSON"),
        (b"\xff", 400, "invalid JSON"),
    ],
)
def test_what_cannot_be_is_a_problem_with_its_reason(api: Stage, body: bytes, status: int, told: str) -> None:
    answer = call(api, "POST", "/jobs", body)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["type"]) == (status, status, "about:blank")
    assert told in problem["detail"] + problem["title"]


def test_a_body_must_be_json_and_not_too_long(api: Stage) -> None:
    url, token = f"{API}/jobs", "Bearer t-admin"
    form = ask(api.web_port, url, body=b"{}", Content_Type="application/x-www-form-urlencoded", Authorization=token)
    assert form.status == 415
    long = ask(api.web_port, url, body=b" " * (17 << 20), Content_Type="application/json", Authorization=token)
    assert long.status == 413


def test_a_duplicate_of_a_unique_job_is_a_conflict(api: Stage) -> None:
    job = {"jobtype": "once", "args": [], "custom": {"unique_for": 60}}
    assert call(api, "POST", "/jobs", job).status == 201
    assert call(api, "POST", "/jobs", job).status == 409


def test_the_document_has_every_operation(api: Stage) -> None:
    document = json.loads(ask(api.web_port, f"{API}/openapi.json", Authorization="Bearer t-read").body)
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert documented == {(each.method, API + each.path.replace(":path", "")) for each in OPERATIONS}


def test_nothing_that_the_document_allows_breaks_it(api: Stage) -> None:
    document = json.loads(ask(api.web_port, f"{API}/openapi.json", Authorization="Bearer t-read").body)
    schema = schemathesis.openapi.from_dict(document)
    tried = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        tried.add(operation.label)

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(base_url=api.url, headers={"Authorization": "Bearer t-admin"})
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])

        holds()
    assert len(tried) == len(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/nothing", "t-admin", 404),
        ("GET", "/jobs", "t-admin", 405),
        ("PUT", "/queues/x", "t-admin", 405),
        ("GET", "/overview", "", 401),
        ("GET", "/overview", "wrong", 401),
        ("GET", "/nothing", "wrong", 401),
    ],
)
def test_all_that_is_refused_under_the_api_is_a_problem(
    api: Stage, method: str, path: str, token: str, status: int
) -> None:
    answer = call(api, method, path, token=token)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(answer.body)["status"] == status
    assert status != 401 or answer.headers["www-authenticate"].startswith("Basic")
    assert status != 405 or answer.headers["allow"]


def test_a_form_of_another_site_is_a_problem_there_too(api: Stage) -> None:
    answer = ask(
        api.web_port,
        f"{API}/jobs",
        body=b"{}",
        Content_Type="application/json",
        Authorization="Bearer t-admin",
        Origin="https://evil.example",
    )
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/queues/x/pause"),
        ("POST", "/queues/x/resume"),
        ("POST", "/queues/x/clear"),
        ("DELETE", "/queues/x"),
        ("POST", "/workers/none/quiet"),
        ("POST", "/workers/none/terminate"),
    ],
)
def test_a_misspelt_name_is_no_success(api: Stage, method: str, path: str) -> None:
    assert call(api, method, path).status == 404
    assert get(api, "/queues")["queues"] == []


def test_all_workers_may_be_none(api: Stage) -> None:
    assert call(api, "POST", "/workers/all/quiet").status == 204


@pytest.mark.parametrize(
    "wrong", [{"priority": 0}, {"priority": 10}, {"priority": "high"}, {"reserve_for": -1}, {"reserve_for": 86_401}]
)
def test_numbers_that_make_no_sense_are_refused(api: Stage, wrong: dict[str, Any]) -> None:
    job = {"jobtype": "x", "args": [], "jid": "wrong-job-1", **wrong}
    answer = call(api, "POST", "/jobs", job)
    assert answer.status == 422
    assert f"{next(iter(wrong))} must be a whole number" in answer.text
    told = json.loads(call(api, "POST", "/jobs/bulk", [job, {"jobtype": "x", "args": [], "jid": "right-job-1"}]).body)
    assert told["jids"] == ["right-job-1"]
    assert list(told["errors"]) == ["wrong-job-1"]


def test_a_page_of_nothing_is_refused(api: Stage) -> None:
    for path in ("/queues", "/scheduled", "/queues/default/jobs", "/queues/default/lanes"):
        assert call(api, "GET", f"{path}?limit=0").status == 422


def test_a_failure_tells_whose_it_was(api: Stage) -> None:
    api.push({"jid": "dead-00001", "retry": -1})
    with api.worker("w-0000001") as worker:
        worker.command(b"FETCH default")
        worker.command(b'FAIL {"jid":"dead-00001","errtype":"Boom","message":"no"}')
    (job,) = get(api, "/dead")["jobs"]
    assert job["failure"]["worker"] == "w-0000001"
    page = ask(api.web_port, "/jobs/dead-00001", Authorization="Basic cmljazpyaWNrJ3M=").text
    assert 'href="/busy?wid=w-0000001"' in page
