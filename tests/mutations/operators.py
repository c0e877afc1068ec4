"""What is done to the code: those of Cosmic Ray's operators that make a plausible mistake, and some of our own.

Left out: what is an error at once (a union for a shift), and what is the same program (`is` for `==` between members of
an enum)."""

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, Name

OF_COSMIC_RAY = (
    "AddNot",
    "NumberReplacer",
    "RemoveDecorator",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_LtE_Gt",
    "ZeroIterationForLoop",
)


class _Place(Operator):
    """An operator that applies to a node in one way, or not at all."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        if self.applies(node):
            yield node.start_pos, node.end_pos

    def applies(self, node: Any) -> bool:
        raise NotImplementedError

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class DeleteCall(_Place):
    """Leaves out a call whose result nobody takes: an effect that does not happen."""

    def applies(self, node: Any) -> bool:
        """`f(x)`, `a.b(x)` or `await f(x)` as a whole statement."""
        if node.type not in ("atom_expr", "power", "await_expr") or node.parent.type != "simple_stmt":
            return False
        last = node.children[-1]
        while last.type in ("atom_expr", "power"):
            last = last.children[-1]
        return last.type == "trailer" and last.children[0] == "("

    def mutate(self, node: Any, index: int) -> Any:
        first = node.get_first_leaf()
        return Keyword("pass", first.start_pos, prefix=first.prefix)


class ReturnNothing(_Place):
    """`return None` for an answer that is not taken for no as well."""

    def applies(self, node: Any) -> bool:
        return node.type == "return_stmt" and node.children[-1] not in ("None", "False")

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1:] = [Keyword("None", node.start_pos, prefix=" ")]
        return node


class CatchNothing(_Place):
    """`except ():` for whatever is caught. One of several is left out by `DropCondition`."""

    def applies(self, node: Any) -> bool:
        clause = node.parent
        return clause is not None and clause.type == "except_clause" and node is clause.children[1]

    def mutate(self, node: Any, index: int) -> Any:
        return Name("()", node.start_pos, prefix=node.get_first_leaf().prefix)


class DropCondition(_Place):
    """Leaves out one of several: a condition of a query, a member of a set or of a tuple."""

    def applies(self, node: Any) -> bool:
        among = node.parent
        if among is None or among.type not in ("arglist", "testlist_comp") or node.type == "operator":
            return False
        if among.type == "arglist":
            return node.type == "comparison"
        return all(each.type not in ("comp_for", "sync_comp_for") for each in among.children)

    def mutate(self, node: Any, index: int) -> Any:
        return Name("*()", node.start_pos, prefix=node.get_first_leaf().prefix)


class OtherMember(_Place):
    """Another member of the same enum that the file knows: `HostState.UP` for `HostState.DOWN`."""

    def applies(self, node: Any) -> bool:
        return len(self._others(node)) > 0

    def mutate(self, node: Any, index: int) -> Any:
        member = node.children[1].children[1]
        member.value = self._others(node)[0]
        return node

    def _others(self, node: Any) -> list[str]:
        """Those after it in the alphabet first, then from the beginning."""
        pair = _member(node)
        if pair is None:
            return []
        known = sorted(
            other[1] for each in _nodes(node.get_root_node()) if (other := _member(each)) and other[0] == pair[0]
        )
        return [*(m for m in known if m > pair[1]), *(m for m in known if m < pair[1])]


def _member(node: Any) -> tuple[str, str] | None:
    """(`HostState`, `UP`) of `HostState.UP`, alone or with more behind it."""
    if node.type not in ("atom_expr", "power") or node.children[0].type != "name":
        return None
    owner, trailer = node.children[0].value, node.children[1]
    if trailer.type != "trailer" or trailer.children[0] != "." or not owner[0].isupper() or owner.isupper():
        return None
    return (owner, trailer.children[1].value) if trailer.children[1].value.isupper() else None


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def operators() -> dict[str, Operator]:
    """By name, in a fixed order."""
    found: dict[str, Operator] = {name: get_operator(f"core/{name}")() for name in OF_COSMIC_RAY}
    return found | {
        each.__name__: each() for each in (CatchNothing, DeleteCall, DropCondition, OtherMember, ReturnNothing)
    }
