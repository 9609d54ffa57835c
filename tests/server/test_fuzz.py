"""The HTTP interface against its own OpenAPI description, with generated requests."""

import numpy as np
import pytest
import pyvips
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from photochrom.server.app import create_app
from photochrom.server.limits import Limits
from servers import TIMEOUT, post

SCHEMA = schemathesis.openapi.from_dict(create_app({}, Limits()).openapi())
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
# The description does not say which bytes are a photo, nor which options a model supports.
EXCLUDED_CHECKS = [positive_data_acceptance]
PHOTO = pyvips.Image.new_from_array(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)).write_to_buffer(".png")


@pytest.fixture(scope="module")
def job(address):
    return post(f"{address}/jobs", content=PHOTO).json()["id"]


def check_operation(operation, address, job, examples):
    """Send generated requests, half of them with a real photo and job."""

    @given(st.data(), st.booleans())
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    def check(data, real):
        case = data.draw(operation.as_strategy())
        if real and case.method != "DELETE":
            case.path_parameters |= {"identity": job} if "identity" in case.path_parameters else {}
            case.body = PHOTO if operation.body else case.body
        case.call_and_validate(base_url=address, excluded_checks=EXCLUDED_CHECKS, timeout=TIMEOUT)

    check()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_responses_match_the_description(address, job, operation):
    check_operation(operation, address, job, 10)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_many_responses_match_the_description(address, job, operation):
    check_operation(operation, address, job, 200)


def test_all_operations_are_checked():
    assert len(OPERATIONS) == 18
