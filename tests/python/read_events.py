"""Reads an event file with TensorBoard's own reader and prints what it holds as JSON.

Argument: the folder of the file. Printed: scalars by tag as [step, value], histograms by tag as
[step, [[left, right, count], ...]], and the number of events that the record reader loads.
"""

import json
import os
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


def buckets(histogram) -> list:
    limits = histogram.bucket_limit
    return [list(row) for row in zip(limits[:-1], limits[1:], histogram.bucket[1:])]


def main() -> None:
    folder = sys.argv[1]
    everything = {event_accumulator.SCALARS: 0, event_accumulator.HISTOGRAMS: 0}
    events = event_accumulator.EventAccumulator(folder, size_guidance=everything)
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]}
    histograms = {
        tag: [[event.step, buckets(event.histogram_value)] for event in events.Histograms(tag)]
        for tag in tags["histograms"]
    }
    (name,) = [name for name in os.listdir(folder) if "tfevents" in name]
    loaded = list(LegacyEventFileLoader(os.path.join(folder, name)).Load())
    assert loaded[0].file_version == "brain.Event:2", loaded[0]
    print(json.dumps({"scalars": scalars, "histograms": histograms, "events": len(loaded)}))


main()
