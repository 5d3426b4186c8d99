"""Filters on the columns of a space: a small language, parsed here and evaluated on Arrow tables.

    condition  = term { [AND] term } { OR ... } | NOT condition | ( condition )
    term       = value OP value | value [NOT] IN (literal, ...) | value [NOT] LIKE 'pattern'
               | value [NOT] BETWEEN literal AND literal | value IS [NOT] NULL
               | FUNCTION(column, ...) | boolean column | words to search for
    value      = column | literal | FUNCTION(column, ...)

Words that form no condition are searched for in label, tags and id, ignoring case. Column names with blanks
are quoted as "..." or `...`. As in SQL, a comparison with a missing value is neither true nor false and
selects no row. Length, depth and number of terms are bounded, and no other parser is involved, because a
condition may come from anyone who can reach the server.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearfield.core.errors import RequestError, choose, nearest

LONGEST, DEEPEST, MOST_TERMS = 2000, 32, 64
"""Limits of a condition: characters, nesting of brackets and NOT, and number of terms."""
SEARCHED = ("label", "tags", "id")
"""Columns in which words are searched."""
HIDDEN = frozenset(("path", "source", "position", "vector"))
"""Columns that a condition cannot name, so that a filter does not reveal paths of files."""
_SHOWN = 20
"""Values of a column that a message lists."""

Mask = Callable[[pa.Table], Any]
"""Maps a table to a boolean array with missing values."""
Kind = Literal["text", "number", "truth", "list", "time", "other"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*"|`[^`]*`)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w./+-]))
    | (?P<operator><=|>=|<>|!=|==|=|<|>)
    | (?P<mark>[(),])
    | (?P<word>[^\s'"`(),<>=!;]+)
    )""",
    re.VERBOSE,
)
_SIGNS = ("&&", "||", "--")
_CLAUSES = ("LIMIT", "ORDER", "GROUP", "HAVING", "UNION", "ESCAPE")
"""Keywords that SQL allows after a comparison and this language does not; after words these are words."""
_COMPARE = {
    "=": pc.equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HELD: dict[Kind, str] = {
    "text": "text: put the value in quotes, as {name} = 'x'",
    "number": "numbers: write one without quotes, as {name} > 2",
    "truth": "true and false: write {name} = true",
    "list": "lists: write array_has({name}, 'x')",
    "time": "times: write {name} > '2024-06-12 05:00:00'",
    "other": "values that no condition can compare",
}


class Token(NamedTuple):
    """A piece of a condition."""

    kind: str
    """text, name, number, operator, mark or word; end after the last token."""
    text: str
    """The text without its quotes."""

    def says(self, *words: str) -> bool:
        """Whether the token is one of these keywords or marks."""
        return self.kind in ("word", "mark") and self.text.upper() in words


@dataclass(frozen=True)
class Value:
    """An operand of a comparison."""

    kind: Kind
    take: Callable[[pa.Table], Any]
    """Returns the array of a table, or a scalar."""
    column: str = ""
    """The column that is used; empty for a literal."""


class Condition:
    """A parsed condition for tables of one schema."""

    def __init__(self, where: str, schema: pa.Schema) -> None:
        """Parses `where`. Raises RequestError if it is invalid."""
        self.where, self.schema = where, schema
        self.columns = [name for name in schema.names if name not in HIDDEN]
        self._terms = 0
        if len(where) > LONGEST:
            raise self._refusal(f"it has {len(where):,} characters; at most {LONGEST:,} are allowed.")
        self._tokens, self._at = self._split(), 0
        self._mask = self._any(0)
        if self._next.kind != "end":
            raise self._refusal(f"{shorten(self._next.text, 100)!r} is not allowed there.")

    def __call__(self, table: pa.Table) -> Any:
        """An Arrow array (N,) of booleans: which rows meet the condition.

        Raises RequestError if values of two columns cannot be compared.
        """
        try:
            return pc.fill_null(self._mask(table), False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._refusal(f"its columns cannot be compared: {error}.") from None

    # The grammar, from OR down to values.

    def _any(self, depth: int) -> Mask:
        if depth > DEEPEST:
            raise self._refusal(f"it nests brackets or NOT more than {DEEPEST} deep.")
        masks = [self._all(depth)]
        while self._takes("OR"):
            masks.append(self._all(depth))
        return _folded(pc.or_kleene, masks)

    def _all(self, depth: int) -> Mask:
        is_words, masks = self._is_words(), [self._term(depth)]
        while self._takes("AND") or not (self._next.kind == "end" or self._next.says("OR", ")", ",")):
            if self._next.says(*_SIGNS) or (not is_words and self._next.says(*_CLAUSES)):
                raise self._refusal(f"{self._next.text!r} is not allowed there. Join terms with AND or OR.")
            is_words = self._is_words()
            masks.append(self._term(depth))
        return _folded(pc.and_kleene, masks)

    def _term(self, depth: int) -> Mask:
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise self._refusal(f"it has more than {MOST_TERMS} terms.")
        if self._takes("NOT"):
            if depth >= DEEPEST:
                raise self._refusal(f"it nests brackets or NOT more than {DEEPEST} deep.")
            inner = self._term(depth + 1)
            return lambda table: pc.invert(inner(table))
        if self._takes("("):
            inner = self._any(depth + 1)
            self._expect(")")
            return inner
        if self._is_words():
            return self._words(self._pop().text)
        value = self._value()
        return self._predicate(value)

    def _is_words(self) -> bool:
        """Whether the next token is a word to search for, not an operand of a comparison."""
        token, after = self._next, self._peek(1)
        if token.kind not in ("word", "name", "text", "number") or after.kind == "operator":
            return False
        if token.kind == "word" and after.says("("):
            return False
        shift = 2 if after.says("NOT") else 1
        verb, follows = self._peek(shift), self._peek(shift + 1)
        begins = {"IN": follows.says("("), "LIKE": follows.kind == "text", "ILIKE": follows.kind == "text"}
        begins["BETWEEN"] = follows.kind in ("number", "text")
        if verb.kind == "word" and begins.get(verb.text.upper(), False):
            return False
        if after.says("IS") and follows.says("NULL", "NOT"):
            return False
        return token.kind in ("text", "number") or token.text not in self.schema.names

    def _words(self, words: str) -> Mask:
        found = [name for name in SEARCHED if name in self.schema.names]
        if not words.strip():
            raise self._refusal("it contains no word to search for.")
        return _folded(pc.or_kleene, [_containing(name, words) for name in found])

    def _predicate(self, value: Value) -> Mask:
        if self._next.kind == "operator":
            return self._comparison(value, self._pop().text)
        if self._takes("IS"):
            is_not = self._takes("NOT")
            self._expect("NULL")
            test = pc.is_valid if is_not else pc.is_null
            return lambda table: test(value.take(table))
        is_not = self._peek(1).says("IN", "LIKE", "ILIKE", "BETWEEN") and self._takes("NOT")
        if self._takes("IN"):
            mask = self._among(value)
        elif self._takes("BETWEEN"):
            low = self._compared(value, self._literal(), ">=")
            self._expect("AND")
            mask = _folded(pc.and_kleene, [low, self._compared(value, self._literal(), "<=")])
        elif self._next.says("LIKE", "ILIKE"):
            mask = self._like(value)
        elif value.kind == "truth" and value.column:
            return value.take
        else:
            raise self._alone(value)
        return (lambda table: pc.invert(mask(table))) if is_not else mask

    def _comparison(self, left: Value, operator: str) -> Mask:
        right = self._value()
        if not left.column and not right.column:
            raise self._refusal("it compares no column with a value.")
        if not left.column:
            left, right, operator = right, left, _FLIPPED.get(operator, operator)
        return self._compared(left, right, operator)

    def _compared(self, left: Value, right: Value, operator: str) -> Mask:
        compare = _COMPARE[operator]
        if left.kind == "time" and right.kind == "text":
            right = self._time(left, right)
        if left.kind != right.kind or left.kind in ("list", "other"):
            held = _HELD[left.kind].format(name=left.column)
            raise self._refusal(f"the types of value and column differ: {left.column} holds {held}.")
        return lambda table: compare(left.take(table), right.take(table))

    def _like(self, value: Value) -> Mask:
        ignores = self._pop().text.upper() == "ILIKE"
        self._need(value, "text")
        pattern = self._literal_text("LIKE")
        return lambda table: pc.match_like(value.take(table), pattern, ignore_case=ignores)

    def _among(self, value: Value) -> Mask:
        self._expect("(")
        masks = [self._compared(value, self._literal(), "=")]
        while self._takes(","):
            masks.append(self._compared(value, self._literal(), "="))
            self._terms += 1
        if self._terms > MOST_TERMS:
            raise self._refusal(f"it has more than {MOST_TERMS} terms.")
        self._expect(")")
        return _folded(pc.or_kleene, masks)

    def _value(self) -> Value:
        token, after = self._next, self._peek(1)
        if token.kind == "word" and after.says("("):
            return self._function(self._pop().text)
        if token.kind in ("text", "number") or token.says("TRUE", "FALSE"):
            return self._literal()
        if token.says("NULL"):
            raise self._refusal("nothing equals NULL. Write IS NULL, or IS NOT NULL.")
        if token.kind == "end":
            raise self._refusal("it is incomplete.")
        if token.kind not in ("word", "name"):
            raise self._refusal(f"it needs a column or a value in place of {shorten(token.text, 100)!r}.")
        return self._column(self._pop())

    def _column(self, token: Token) -> Value:
        name = token.text
        if len(name) > 100:
            raise self._refusal(f"there is no column {shorten(name, 100)!r}.")
        if name in self.columns:
            kind = _kind(self.schema.field(name).type)
            return Value(kind, lambda table: table[name], name)
        if name in HIDDEN:
            raise self._refusal(f"a condition cannot name {name!r}. Name clips by their id.")
        if token.kind == "name" and self._at > 1:  # "rain" for 'rain', on the right of a comparison
            return Value("text", lambda _: pa.scalar(name))
        quoted = name.replace("'", "''")
        is_right = self._at > 1 and self._tokens[self._at - 2].kind == "operator"
        meant = f"Put a text in quotes: '{quoted}'. " if is_right else ""
        raise self._refusal(f"there is no column {name!r}. {meant}{choose(name, self.columns)}")

    def _function(self, name: str) -> Value:
        function = _FUNCTIONS.get(name.lower())
        if function is None:
            raise self._refusal(
                f"there is no function {shorten(name, 100)!r}. {choose(name.lower(), _FUNCTIONS)}"
            )
        self._expect("(")
        first = self._column(self._pop())
        self._need(first, function.of)
        argument = None
        if function.takes_text:
            self._expect(",")
            argument = self._literal_text(name)
        self._expect(")")
        return Value(function.gives, lambda table: function.apply(first.take(table), argument), first.column)

    def _literal(self) -> Value:
        token = self._pop()
        if token.kind in ("text", "name"):
            return Value("text", lambda _: pa.scalar(token.text))
        if token.kind == "number":
            number = float(token.text)
            is_whole = token.text.lstrip("+-").isdigit() and abs(number) < 2**63
            exact = int(token.text) if is_whole else number
            return Value("number", lambda _: pa.scalar(exact))
        if token.says("TRUE", "FALSE"):
            return Value("truth", lambda _: pa.scalar(token.text.upper() == "TRUE"))
        if token.kind == "end":
            raise self._refusal("it is incomplete.")
        raise self._refusal(
            f"it needs a text in quotes or a number in place of {shorten(token.text, 100)!r}."
        )

    def _literal_text(self, after: str) -> str:
        token = self._pop()
        if token.kind not in ("text", "name"):
            raise self._refusal(f"{after} needs a text in quotes.")
        return token.text

    def _time(self, left: Value, right: Value) -> Value:
        wanted = self.schema.field(left.column).type
        try:
            time = right.take(None).cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise self._refusal(f"{left.column} holds {_HELD['time'].format(name=left.column)}.") from None
        return Value("time", lambda _: time)

    # Tokens.

    def _split(self) -> list[Token]:
        found, place = [], 0
        text = self.where.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                sign = text[place:].lstrip()[0]
                reason = "it must not contain a semicolon." if sign == ";" else f"{sign!r} is not allowed."
                raise self._refusal("a quote is not closed." if sign in "'\"`" else reason)
            kind = str(match.lastgroup)
            found.append(Token(kind, _unquoted(kind, match[kind])))
            place = match.end()
        if not found:
            raise self._refusal("it is empty.")
        return found

    @property
    def _next(self) -> Token:
        return self._peek(0)

    def _peek(self, ahead: int) -> Token:
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else Token("end", "")

    def _pop(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        if not self._next.says(word):
            return False
        self._at += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            there = f"before {shorten(self._next.text, 100)!r}" if self._next.kind != "end" else "at the end"
            raise self._refusal(f"{word!r} is missing {there}.")

    # Errors.

    def _need(self, value: Value, kind: Kind) -> None:
        if value.kind != kind:
            held = _HELD[value.kind].format(name=value.column)
            raise self._refusal(f"{value.column} holds {held}.")

    def _alone(self, value: Value) -> RequestError:
        if not value.column:
            return self._refusal("it compares no value with a column.")
        held = _HELD[value.kind].format(name=value.column)
        return self._refusal(
            f"the column {value.column} is not compared with a value; it holds {held}. "
            f"To search for the word, put it in quotes: '{value.column}'."
        )

    def _refusal(self, reason: str) -> RequestError:
        shown = shorten(self.where, 200)
        listed = "" if "Known: " in reason else f" Columns: {', '.join(self.columns)}."
        return RequestError(
            f"where: {shown!r} cannot be used: {reason}{listed} "
            "Write words to search for, or a condition such as label = 'rain' or array_has(tags, 'wet')."
        )


@dataclass(frozen=True)
class _Function:
    of: Kind
    """The type of its first argument, a column."""
    gives: Kind
    apply: Callable[[Any, str | None], Any]
    takes_text: bool = True


def _has(lists: Any, wanted: str | None) -> Any:
    return _by_list(lists, lambda values: pc.equal(values, wanted))


_FUNCTIONS: dict[str, _Function] = {
    "array_has": _Function("list", "truth", _has),
    "array_contains": _Function("list", "truth", _has),
    "array_length": _Function("list", "number", lambda lists, _: pc.list_value_length(lists), False),
    "starts_with": _Function("text", "truth", lambda texts, start: pc.starts_with(texts, start)),
    "ends_with": _Function("text", "truth", lambda texts, end: pc.ends_with(texts, end)),
    "contains": _Function("text", "truth", lambda texts, part: pc.match_substring(texts, part)),
    "lower": _Function("text", "text", lambda texts, _: pc.utf8_lower(texts), False),
    "upper": _Function("text", "text", lambda texts, _: pc.utf8_upper(texts), False),
}


def _containing(name: str, words: str) -> Mask:
    def mask(table: pa.Table) -> Any:
        column = table[name]
        if _kind(column.type) == "list":
            return _by_list(column, lambda values: pc.match_substring(values, words, ignore_case=True))
        return pc.match_substring(column.cast(pa.string()), words, ignore_case=True)

    return mask


def _by_list(lists: Any, test: Callable[[Any], Any]) -> Any:
    """(N,) whether any value of each list passes the test; missing if the list is missing."""
    whole = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    passed = pc.fill_null(test(pc.list_flatten(whole)), False)
    rows = pc.list_parent_indices(whole).filter(passed).to_numpy()
    mask = np.zeros(len(whole), np.bool_)
    mask[rows] = True
    return pc.if_else(pc.is_valid(whole), pa.array(mask), pa.scalar(None, pa.bool_()))


def _folded(join: Callable[[Any, Any], Any], masks: Sequence[Mask]) -> Mask:
    if len(masks) == 1:
        return masks[0]

    def folded(table: pa.Table) -> Any:
        found = masks[0](table)
        for mask in masks[1:]:
            found = join(found, mask(table))
        return found

    return folded


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "list"
    return "time" if pa.types.is_temporal(kind) else "other"


def _unquoted(kind: str, text: str) -> str:
    if kind not in ("text", "name"):
        return text
    return text[1:-1].replace(text[0] * 2, text[0])


def shorten(text: str, most: int) -> str:
    """The first `most` characters of a text, followed by dots if it is longer."""
    return text if len(text) <= most else f"{text[:most]}..."


def unmet(where: str, table: pa.Table) -> str:
    """A sentence that no row of a table meets a condition.

    For plain words, and for a text column compared with one value, it suggests the value that was meant.
    """
    condition = Condition(where, table.schema)
    tokens = condition._tokens
    if len(tokens) == 1:
        names = [name for name in SEARCHED if name in table.schema.names]
        said = f"No clip has {tokens[0].text!r} in its {', '.join(names)}."
        return f"{said} {_values(table, names[:2], tokens[0].text)}"
    said = f"No clip meets {where}."
    is_equality = [token.kind for token in tokens[1:]] == ["operator", "text"] and tokens[1].text in "=="
    if not is_equality or _kind(table.schema.field(tokens[0].text).type) != "text":
        return said
    return f"{said} {_values(table, [tokens[0].text], tokens[2].text)}"


def _values(table: pa.Table, names: Sequence[str], word: str) -> str:
    """Lists the values of some columns and suggests the one nearest to `word`."""
    held: set[str] = set()
    for name in names:
        column = table[name]
        values = pc.list_flatten(column) if _kind(column.type) == "list" else column
        held |= {str(each) for each in pc.unique(values).to_pylist() if each}
    listed = sorted(held)
    close = nearest(word, listed)
    known = ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN:,} more" if listed[_SHOWN:] else "")
    return (f"Did you mean {close!r}? " if close else "") + f"Known: {known or 'none'}."
