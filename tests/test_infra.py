"""What runs the reference pipeline in AWS is made from the pipeline as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.templates import HERE, templates
from triggers.aws.server import environment
from triggers.aws.template import Code
from triggers.aws.template.functions import HANDLER


@pytest.mark.parametrize("name", templates())
def test_the_templates_are_those_of_the_pipeline_as_it_is(name: str) -> None:
    kept = (HERE / name).read_text(encoding="utf-8")
    assert kept == templates()[name], f"infra/{name} is stale; make it again with: make templates"


def test_the_image_has_the_functions_handler_and_their_python() -> None:
    image = Path(HERE, "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM \S+/python:(\S+)$", image, re.MULTILINE)[1] == Code().python
    assert f'CMD ["{HANDLER}"]' in image


def test_other_programs_find_the_emulation_by_what_this_one_does() -> None:
    lines = Path(HERE, "emulation.env").read_text(encoding="utf-8").splitlines()
    kept = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert kept == environment(kept["AWS_ENDPOINT_URL"])
