"""A plain script: jobs that belong together, and one that follows when all of them are done.

python script.py                         pushes
lineshaft work script --concurrency 5    works
"""

from lineshaft import Client, Jobs

jobs = Jobs()


@jobs.job(retry=3)
def load(month: str, file: int) -> None:
    print(f"file {file} of {month} is loaded", flush=True)


@jobs.job(keep_result=True)
def report(month: str) -> str:
    return f"{month} is complete"


def main() -> None:
    with Client() as client:
        done = report.job("May")
        with client.batch("import of May", success=done) as batch:
            batch.push_bulk(load.job("May", file) for file in range(1, 6))
        print(client.wait(done.jid, timeout=30))


if __name__ == "__main__":
    main()
