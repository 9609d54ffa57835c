"""The HTTP interface held to its own description, by requests that nobody would think of."""

import httpx
import numpy as np
import pytest
import pyvips
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from photochrom.server.jobs import Limits
from photochrom.server.routes import create

OPERATIONS = [
    found.ok() for found in schemathesis.openapi.from_dict(create({}, Limits()).openapi()).get_all_operations()
]
UNTOLD = [positive_data_acceptance]  # no schema says what is a photograph, or which model has steps
PHOTO = pyvips.Image.new_from_array(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)).write_to_buffer(".png")


@pytest.fixture(scope="module")
def job(address):
    return httpx.post(f"{address}/jobs", content=PHOTO).json()["id"]


def _held(operation, address, job, examples):
    """Requests with what nobody has, and as often with a photograph and a job that are there."""

    @given(st.data(), st.booleans())
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    def hold(data, there):
        case = data.draw(operation.as_strategy())
        if there and case.method != "DELETE":
            case.path_parameters |= {"identity": job} if "identity" in case.path_parameters else {}
            case.body = PHOTO if operation.body else case.body
        case.call_and_validate(base_url=address, excluded_checks=UNTOLD)

    hold()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_one_that_is_described(address, job, operation):
    _held(operation, address, job, 10)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_many_more_answers_are_too(address, job, operation):
    _held(operation, address, job, 200)


def test_the_whole_interface_is_asked():
    assert len(OPERATIONS) == 11
