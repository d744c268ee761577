"""HTML in every field that a client controls: it is shown as text, on every page, and nothing of it runs."""

import json
from collections.abc import Callable
from urllib.parse import quote

from browser.conftest import Watched
from browser.stage import Stage

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><b>{{7*7}}</b>"
LINK = "javascript:alert(3)//12345678"


def test_what_clients_send_is_text(stage: Stage, open_page: Callable[..., Watched]) -> None:
    window = open_page()
    page = window.page
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    jids = [f"{EVIL} {place}" for place in ("ready", "held", "retry", "dead", "later")] + [LINK]
    stage.push(
        {"jid": jids[4], "jobtype": EVIL, "args": [EVIL, {EVIL: EVIL}], "at": "2099-01-01T00:00:00Z"},
        {"jid": LINK, "jobtype": EVIL, "queue": "link"},
    )
    with stage.worker(EVIL, EVIL, (EVIL, EVIL)) as worker:
        for jid, retry in ((jids[2], 25), (jids[3], -1), (jids[1], 3)):
            custom = {EVIL: EVIL, "track": 1, "backoff": "fixed:100"}
            job = {"jid": jid, "jobtype": EVIL, "args": [EVIL], "retry": retry, "queue": "evil", "custom": custom}
            stage.push(job)
            worker.command(b"FETCH evil")
            if retry != 3:
                failure = {"jid": jid, "errtype": EVIL, "message": EVIL, "backtrace": [EVIL, EVIL]}
                worker.command(b"FAIL " + json.dumps(failure).encode())
            else:
                worker.command(b"TRACK SET " + json.dumps({"jid": jid, "percent": 5, "desc": EVIL}).encode())
        stage.push({"jid": jids[0], "jobtype": EVIL, "args": [EVIL], "queue": "evil"})
        callback = {"jobtype": EVIL, "args": [EVIL]}
        told = {"description": EVIL, "success": callback, "complete": callback}
        bid = worker.command(b"BATCH NEW " + json.dumps(told).encode()).decode()
        window.go("/busy")
        page.locator("a", has_text=EVIL).first.click()
        links = [
            "/",
            "/queues",
            "/queues/evil",
            "/retries",
            "/scheduled",
            "/morgue",
            "/busy",
            "/server",
            f"/morgue?text={EVIL}",
        ]
        links += [
            "/morgue?confirm=delete",
            "/batches",
            f"/batches/{bid}",
            "/limits",
            "/finished",
            "/push?like=" + quote(jids[0]),
        ]
        for link in links:
            window.go(link)
            page.wait_for_timeout(30)
            assert page.locator("main img, main script, main b:has-text('49')").count() == 0, link
            assert page.locator("[onerror], [href^='javascript']").count() == 0, link
        for jid in jids:
            page.goto(stage.url + "/")
            page.locator(".side input").fill(jid)
            page.keyboard.press("Enter")
            page.locator("#job .panel").first.wait_for()
            assert jid in page.locator("#job").inner_text(), jid
            assert page.locator("main img, main script").count() == 0, jid
    assert alerts == []
