"""What tests of published layouts share with those of the data room: writing small sounds and tables."""

from tests.data.conftest import write_sound, write_table

__all__ = ["write_sound", "write_table"]
