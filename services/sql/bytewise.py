"""Text in the order of its bytes, as Python sorts it, whatever language the database sorts by."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Bytewise(FunctionElement[str]):
    """A text column, ordered by its bytes on every database."""

    type = String()
    inherit_cache = True


@compiles(Bytewise)
def _as_it_is(element: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(Bytewise, "postgresql")
def _in_c(element: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f'{compiler.process(element.clauses, **kw)} COLLATE "C"'
