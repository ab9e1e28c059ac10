"""Days and times of an entry, read strictly: ISO 8601, and neither long ago nor to come."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_EARLIEST = date(2015, 1, 1)
"""Before it nobody attacked ReID: a date that old is a mistake."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_TIME = 40
"""Characters of a time at most."""


def _iso_date(value: object) -> object:
    # Here and below: pydantic itself would take a number in quotes for seconds since 1970.
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value):
        raise ValueError("expected a date such as 2026-01-31")
    return date.fromisoformat(value)


def _iso_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value[:10]) or value[10:11] != "T" or len(value) > _TIME:
        raise ValueError("expected a time such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(value)


def _sensible_date(day: date) -> date:
    # A day of slack, because it is tomorrow already somewhere.
    if not _EARLIEST <= day <= datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError(f"expected a date from {_EARLIEST} to today")
    return day


def _sensible_time(time: datetime) -> datetime:
    try:
        day = time.astimezone(UTC).date()
    except OverflowError:
        raise ValueError(f"expected a time from {_EARLIEST} to today") from None
    _sensible_date(day)
    return time


Day = Annotated[date, BeforeValidator(_iso_date), AfterValidator(_sensible_date)]
Time = Annotated[AwareDatetime, BeforeValidator(_iso_time), AfterValidator(_sensible_time)]
