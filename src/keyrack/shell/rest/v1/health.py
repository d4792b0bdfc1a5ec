"""``/health``: whether this deployment lives, and whether it hands out keys. vCenter's own poll never touches a key."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field

from keyrack.domain.rights import Right
from keyrack.ports.back_office import Trial, WorkerHealth
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.models import Instant, Resource, since
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.problems import Problem
from keyrack.shell.rest.v1.routing import noun, open_noun

router = noun("health")
opened = open_noun("health")
"""Without ``/api/v1``, and for anybody."""


class Liveness(Resource):
    """The web process answers."""

    status: Literal["live"] = "live"


class Readiness(Resource):
    """Keys are handed out."""

    status: Literal["ready"] = "ready"


class TrialShown(Resource):
    """The last real unwrap with one root key by one serving process."""

    key_manager: str
    root_key: str
    at: Instant
    milliseconds: float
    well: Annotated[bool, Field(description="Whether what was wrapped came out as it went in.")]
    told: Annotated[str, Field(description="What went wrong; empty where nothing did.")]


class WorkerShown(Resource):
    """One serving process."""

    worker: int
    listening: Annotated[bool, Field(description="Whether it takes KMIP connections.")]
    committing: Annotated[bool, Field(description="Whether the catalog takes a commit.")]
    at: Instant
    trials: Sequence[TrialShown]


class HealthShown(Resource):
    """The deployment's health, as its serving processes tell it."""

    ready: bool
    reasons: Annotated[Sequence[str], Field(description="Why it is not ready.")]
    rolled_back: Annotated[
        str,
        Field(
            description="Why nothing can be changed: the catalog was restored from a copy, and `keyrack backup agree` "
            "has not yet accounted for what came after it. Empty where that is not so."
        ),
    ]
    at: Instant
    workers: Sequence[WorkerShown]


@opened.get("/health/live")
async def health_live(response: Response) -> Liveness:
    """Tell that the web process answers.

    It says nothing about keys: ask `/health/ready` for that.
    """
    # The last page of the first start waits for it, and may be of another port: it learns that somebody answers, which
    # whoever opens a connection learns too, and cannot read the answer.
    response.headers["cross-origin-resource-policy"] = "cross-origin"
    return Liveness()


@opened.get("/health/ready", responses={503: {"description": "Not ready"}})
async def health_ready(request: Request) -> Readiness:
    """Tell whether keys are handed out: 200 or 503.

    200 means: a serving process takes connections, the catalog takes a commit, and with each key manager in use a root
    key has really unwrapped something a few seconds ago. Why it does not, `/api/v1/health` tells those who may know.
    """
    premises: Premises = request.app.state.premises
    found = await premises.looking.look()
    if not found.ready:
        raise Problem("not-ready", "keys are not handed out just now", headers={"retry-after": "5"})
    return Readiness()


@router.get("/health")
async def show_health(caller: Caller, request: Request, response: Response) -> HealthShown:
    """Show the health of the deployment, with reasons."""
    caller.administration.require(Right.SERVER_READ)
    premises: Premises = request.app.state.premises
    found = await premises.looking.look()
    rollback = await premises.catalog.rollback()
    return HealthShown(
        ready=found.ready,
        reasons=found.reasons,
        rolled_back=rollback.why if rollback is not None else "",
        at=since(found.at),
        workers=[_worker(each) for each in found.workers],
    )


def _worker(worker: WorkerHealth) -> WorkerShown:
    return WorkerShown(
        worker=worker.worker,
        listening=worker.listening,
        committing=worker.committing,
        at=since(worker.at),
        trials=[_trial(each) for each in worker.trials],
    )


def _trial(trial: Trial) -> TrialShown:
    return TrialShown(
        key_manager=trial.key_manager,
        root_key=trial.root_key,
        at=since(trial.at),
        milliseconds=trial.milliseconds,
        well=not trial.told,
        told=trial.told,
    )
