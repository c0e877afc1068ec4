"""Column types that mean the same on SQLite and PostgreSQL.

SQLModel annotates `sa_type` as a class and takes an instance as well: `word` and `json_of` say nothing of what they
return, so that both agree."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import JSON, DateTime, Dialect, Enum, MetaData, TypeDecorator
from sqlalchemy.orm import declared_attr
from sqlmodel import SQLModel

T = TypeVar("T")


class Row(SQLModel):
    """Base of every table; tables and constraints have predictable names. Rows are not validated, so that nothing is
    built for it when they are defined."""

    model_config = {"defer_build": True}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )

    @declared_attr.directive
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # a str there
        """`HostRow` is table `host`, `ServerGroupRow` is `server_group`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__.removesuffix("Row")).lower()


class Utc(TypeDecorator[datetime]):
    """Aware UTC times, also where the database keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Value(TypeDecorator[T], Generic[T]):
    """A pydantic value (or a list of them) as JSON; None is NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, shape: type[T]) -> None:
        super().__init__()
        self.shape = shape

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        """Made when a value is first read or written: most commands read few of them."""
        return TypeAdapter[T](self.shape)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:
        return None if value is None else self._adapter.dump_python(value, mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> T | None:
        return None if value is None else self._adapter.validate_python(value)


def json_of(shape: Any) -> Any:
    """A pydantic value, or a list of them."""
    return Value[Any](shape)


def word(kind: type[StrEnum]) -> Any:
    """One of an enumeration's words, stored as its value."""
    return Enum(kind, native_enum=False, length=40, values_callable=_values)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


def utc_now() -> datetime:
    return datetime.now(UTC)
