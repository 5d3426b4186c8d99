"""Engines, which run the tasks of a study on one machine or on a cluster."""

from typing import Annotated

from pydantic import Field

from nearfield.study.engines.engine import Engine, StudyWork
from nearfield.study.engines.local import LocalSettings
from nearfield.study.engines.ray import RaySettings

EngineSettings = Annotated[LocalSettings | RaySettings, Field(discriminator="kind")]

__all__ = ["Engine", "EngineSettings", "StudyWork"]
