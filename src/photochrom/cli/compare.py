"""The command that compares model families."""

from pathlib import Path
from typing import Annotated

import typer

from .._signals import exit_code
from .console import count, exit_on, fail, loading, notify, progress

STUDY = "Study (TOML); see the folder studies."
DATA = "Color photos to train on: folder, zip, or folder in a zip; repeatable."
TEST = "Color photos to measure on; by default those of --data that the trainings hold out; repeatable."
OUT = "Folder of the study."
JOBS = "Number of trainings at a time; by default one per GPU, or per processor."


def compare(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    data: Annotated[list[Path], typer.Option(help=DATA)],
    out: Annotated[Path, typer.Option("-o", "--out", help=OUT)],
    test: Annotated[list[Path] | None, typer.Option(help=TEST)] = None,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help=JOBS)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is left to do, and do nothing.")] = False,
) -> None:
    """Train several model families on equal terms, measure and compare them.

    Writes report.html, results.json and results.csv to the folder. Stop at any moment (exit code 130, or 143 after
    SIGTERM) and run the same command again to continue; what did not change in the study is kept. Exit code 1 when a
    job failed; the report is about the others.
    """
    with loading("compare"):
        from ..study.analysis import collect
        from ..study.jobs import Job, find_devices, find_jobs_left, run_jobs
        from ..study.plan import Places, plan_study
        from ..study.report import write_report
        from ..study.spec import read_study

    with exit_on(ValueError):
        settings = read_study(study)
        plan = plan_study(settings, Places(tuple(data), tuple(test or ()), out))
        devices = find_devices(jobs)
    left = find_jobs_left(plan.jobs)
    if dry_run:
        for job in left:
            typer.echo(job.name)
        typer.echo(f"{count(len(left), 'job')} of {len(plan.jobs)} on {count(len(devices), 'device')}", err=True)
        return
    with progress() as bar:
        task = bar.add_task("jobs", total=sum(job.weight for job in left))

        def report(job: Job, state: str) -> None:
            if state == "started":
                bar.update(task, description=job.name)
                return
            bar.advance(task, job.weight)
            if state != "done":
                notify(f"{job.name}: {state}")

        try:
            failures = run_jobs(plan.jobs, devices, report)
        except KeyboardInterrupt:
            notify("stopped; run the same command again to continue")
            raise SystemExit(exit_code()) from None
    with exit_on(ValueError, OSError, code=1):
        write_report(collect(settings, plan, failures), out)
    typer.echo(out / "report.html")
    if failures:
        fail(f"{count(len(failures), 'job')} of {len(plan.jobs)} failed", 1)
