"""What docs/records.md says of sizes is what the command beside it prints."""

import re
from pathlib import Path

import pytest

from benchmarks import records

PAGE = (Path(__file__).parents[2] / "docs/records.md").read_text()


@pytest.mark.parametrize("protocol", records.PROTOCOLS)
def test_the_sizes_on_the_page_are_those_of_records(protocol: str) -> None:
    (row,) = re.findall(rf"^\| {re.escape(protocol)} \| ([\d,]+) \| [\d.]+ \| ([\d,]+) \|", PAGE, re.MULTILINE)
    for parties, size in zip(records.SIZES, row, strict=False):
        record, agreed = records.session(protocol, parties)
        assert int(size.replace(",", "")) == pytest.approx(len(record.to_bytes()), rel=0.02)
        assert records.verifying(record, agreed) > 0
