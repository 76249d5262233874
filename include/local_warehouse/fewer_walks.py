"""fakesnow's rules, of which a statement needs few: the others are not walked through its tree.

fakesnow walks the whole tree once for each of its 66 rules, and most of them change only a kind of
node that the statement does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from sqlglot import Expr, exp

ALTERED = (exp.Alter, exp.Command, exp.Create, exp.Drop)
SHOWN = (exp.Command, exp.Show)

TRIGGERS: dict[str, tuple[type[Expr], ...]] = {
    "alias_in_join": (exp.Join,),
    "alias_in_where": (exp.Anonymous,),
    "alter_session": (exp.Alter,),
    "alter_table_strip_cluster_by": ALTERED,
    "array_agg": (exp.ArrayAgg,),
    "array_agg_within_group": (exp.WithinGroup,),
    "array_construct_etc": (exp.ArrayConstructCompact, exp.Array, exp.ArrayConcat),
    "array_size": (exp.ArraySize,),
    "create_clone": (exp.Create,),
    "create_database": (exp.Create,),
    "create_file_format": ALTERED,
    "create_stage": ALTERED,
    "create_table_as": (exp.Create,),
    "create_user": (exp.Command,),
    "current_version": (exp.CurrentVersion,),
    "dateadd_date_cast": (exp.DateAdd,),
    "dateadd_string_literal_timestamp_cast": (exp.DateAdd,),
    "datediff_string_literal_timestamp_cast": (exp.DateDiff,),
    "drop_schema_cascade": (exp.Drop,),
    "extract_comment_on_columns": (exp.Alter,),
    "extract_comment_on_table": (exp.Alter, exp.Comment, exp.Create),
    "extract_text_length": (exp.Alter, exp.Create),
    "flatten": (exp.Explode,),
    "flatten_value_cast_as_varchar": (exp.Explode,),
    "float_to_double": (exp.DataType,),
    "haversine": (exp.Anonymous,),
    "hex_string": (exp.HexString,),
    "identifier": (exp.Anonymous, exp.DynamicIdentifier),
    "indices_to_json_extract": (exp.Bracket,),
    "integer_precision": (exp.DataType,),
    "json_extract_cased_as_varchar": (exp.JSONExtract,),
    "json_extract_cast_as_varchar": (exp.JSONExtract,),
    "json_extract_precedence": (exp.JSONExtract, exp.JSONExtractScalar),
    "list_stage": (exp.ListStage,),
    "numeric_agg_implicit_cast": (
        exp.Sum, exp.Avg, exp.Variance, exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.VariancePop,
        exp.Median,
    ),
    "object_agg": (exp.ObjectAgg,),
    "object_construct": (exp.JSONObject, exp.StarMap, exp.Struct),
    "put_stage": (exp.Put,),
    "random": (exp.Rand,),
    "regex_replace": (exp.RegexpReplace,),
    "regex_substr": (exp.RegexpExtract,),
    "result_scan": (exp.TableFromRows,),
    "sample": (exp.TableSample,),
    "semi_structured_types": (exp.DataType,),
    "set_schema": (exp.Use,),
    "sha256": (exp.Anonymous, exp.SHA2, exp.SHA2Digest),
    "show_columns": SHOWN,
    "show_databases": SHOWN,
    "show_functions": SHOWN,
    "show_keys": SHOWN,
    "show_parameters": SHOWN,
    "show_procedures": SHOWN,
    "show_schemas": SHOWN,
    "show_sequences": SHOWN,
    "show_stages": SHOWN,
    "show_tables_etc": SHOWN,
    "show_users": SHOWN,
    "show_warehouses": SHOWN,
    "split": (exp.Split,),
    "tag": ALTERED,
    "timestamp_ntz": (exp.DataType,),
    "timestamp_offsets": (exp.Cast,),
    "to_date": (exp.Anonymous,),
    "to_decimal": (exp.ToNumber,),
    "to_timestamp": (exp.Anonymous, exp.Cast, exp.UnixToTime),
    "to_variant": (exp.ToVariant,),
    "trim_cast_varchar": (exp.Trim,),
    "try_parse_json": (exp.Anonymous,),
    "update_variables": (exp.Alias, exp.Set),
    "values_columns": (exp.Values,),
}  # fmt: skip
"""Kinds of nodes without which a rule changes nothing. A rule that is not here always runs."""


class FewerWalks:
    """A tree as fakesnow's chain of rules sees it; `tree` is what they have made of it."""

    def __init__(self, tree: Expr) -> None:
        self.tree = tree
        self._kinds = _kinds(tree)

    def transform(self, rule: Callable[..., Expr], *args: Any, **kwargs: Any) -> FewerWalks:
        """Apply a rule if the tree has a node that it may change."""
        triggers = TRIGGERS.get(_name(rule))
        if triggers is None or self._kinds.intersection(triggers):
            made: set[type] = set()

            def noted(node: Expr, *args: Any, **kwargs: Any) -> Expr:
                new = rule(node, *args, **kwargs)
                # sqlglot does not go into what is new. What a rule has put below an old node, it
                # comes to later.
                made.update(map(type, new.walk()) if new is not node else (type(node),))
                return new

            self.tree = self.tree.transform(noted, *args, **kwargs)
            self._kinds = self._kinds | _classes(frozenset(made))
        return self


def fewer_walks(rules: Callable[[Expr], Expr], tree: Expr) -> Expr:
    """What a chain of `.transform(rule)` makes of a tree."""
    return cast("FewerWalks", rules(cast("Expr", FewerWalks(tree)))).tree


def _kinds(tree: Expr) -> frozenset[type]:
    return _classes(frozenset(map(type, tree.walk())))


@cache
def _classes(kinds: frozenset[type]) -> frozenset[type]:
    return frozenset(base for kind in kinds for base in kind.__mro__)


def _name(rule: Callable[..., Expr]) -> str:
    """A rule's name; fakesnow wraps those that need the session in a lambda."""
    code = rule.__code__
    return str(code.co_names[1] if rule.__name__ == "<lambda>" else rule.__name__)
