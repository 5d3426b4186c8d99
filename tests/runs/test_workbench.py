"""What is said of the data before anything is done with them."""

from dataclasses import replace

import pandas as pd

from nearfield.data.collection import Collection
from nearfield.data.faults import Problem
from nearfield.runs.events import Event, Note
from nearfield.runs.workbench import note_data, note_left_out


def test_a_leak_is_told_to_those_who_measure_and_what_is_left_out_to_all() -> None:
    rows = pd.DataFrame({"path": ["a.wav", "b.wav"], "seconds": 1.0})
    gone = Problem("missing", "c.wav", None, "there is no such file.", "Bring it back.")
    odd = replace(gone, severity="warning")
    collection = replace(Collection.from_rows(rows), leaks=("ann",), problems=(gone, odd))
    said = list[Event]()
    note_left_out(collection, said.append)
    assert said == [Note("left out: c.wav: there is no such file.", is_warning=True)]
    note_data(collection, said.append)
    assert said[2:] == [Note("1 group sits on two sides of the split; results say so.", is_warning=True)]
    note_data(replace(collection, leaks=("ann", "ben"), problems=()), said.append)
    assert said[3:] == [Note("2 groups sit on two sides of the split; results say so.", is_warning=True)]
