"""The one-line tariff: parsed once, checked, bounded, evaluated exactly in decimals.

Written with + - * /, comparisons, and, or, not, `a if condition else b` and the functions of `FUNCTIONS`.

Units are checked when it is compiled. A name has a unit; what is multiplied and divided is converted exactly
(kr/kWh × Wh is kr), only like is added to or compared with like. A plain number has no unit of its own:
beside a quantity it takes that quantity's unit (`rpm - 1200`; beside money, the result's), and multiplied into
one it may be a price (`12 * odometer`), so that a sum of such products is accepted as money. A quantity divided
by a plain number is a plain ratio (`(rpm - 1200) / 1800`). Where a plain number could be a conversion that we
would make once more (`energy_in_Wh / 1000 * price_per_kWh`), the expression is refused.

It is linear in usage: cost(a + b) = cost(a) + cost(b), so that it does not matter how often a meter is read.
Every term holds exactly one meter as a factor; conditions, divisors and functions hold none.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    DivisionUndefined,
    FloatOperation,
    InvalidOperation,
    Overflow,
    localcontext,
)

from core.errors import Rejected
from core.quantity import Unit
from settlement.dimensions import ExpressionError, Measure, Operand, Rules
from settlement.functions import FUNCTIONS
from settlement.names import TIME_NAMES, Name, NameKind, find_name, resolve_name

__all__ = [
    "ARITHMETIC",
    "FUNCTIONS",
    "TIME_NAMES",
    "Expression",
    "ExpressionError",
    "Name",
    "NameKind",
    "Unpriceable",
    "arithmetic",
    "compile_expression",
    "decimal_of",
    "find_name",
    "resolve_name",
    "unpriceable",
]

CHARACTERS_MAX = 1_000
NODES_MAX = 200
LITERAL_DIGITS_MAX = 18
AMOUNT_MAX = Decimal(10**9)
"""Bound of one price, in whole currency; checked before anybody makes an integer of it."""

ARITHMETIC = Context(
    prec=34,
    Emax=40,
    Emin=-40,
    rounding=ROUND_HALF_EVEN,
    traps=[DivisionByZero, InvalidOperation, Overflow, FloatOperation],
)


class Unpriceable(Rejected):
    """These values have no price: `missing_value`, `not_a_number`, `division_by_zero` or `amount_too_large`."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. `function` takes `names` in their order as positional decimals, inside `arithmetic()`."""

    source: str
    names: tuple[str, ...]
    digest: str
    function: Callable[..., Decimal] = field(compare=False, repr=False)
    amount_max: Decimal = AMOUNT_MAX

    def evaluate(self, values: Mapping[str, Decimal]) -> Decimal:
        """The result for these values, in the result's unit; raises Unpriceable."""
        numbers = [decimal_of(name, values.get(name)) for name in self.names]
        with localcontext(ARITHMETIC):
            try:
                result = self.function(*numbers)
            except ArithmeticError as error:
                raise unpriceable(error) from None
            if not result.is_finite() or abs(result) > self.amount_max:
                raise Unpriceable("amount_too_large", f"{result:.6e} is beyond {self.amount_max:,f}")
        return result


def arithmetic() -> AbstractContextManager[Context]:
    """The context `Expression.function` runs in: 34 digits, numbers below 10⁴⁰, no floats."""
    return localcontext(ARITHMETIC)


def unpriceable(error: ArithmeticError) -> Unpriceable:
    """Why the numbers have no price, of what `decimal` raised."""
    if isinstance(error, DivisionByZero) or (
        isinstance(error, InvalidOperation) and DivisionUndefined in error.args[0]
    ):
        return Unpriceable("division_by_zero", "the expression divides by zero")
    if isinstance(error, Overflow):
        return Unpriceable("amount_too_large", f"a number grew beyond 10^{ARITHMETIC.Emax}")
    return Unpriceable("not_a_number", "the expression has no value for these numbers")


def decimal_of(name: str, value: object) -> Decimal:
    """A finite number, as the input of that name; raises Unpriceable."""
    if value is None:
        raise Unpriceable("missing_value", f"no value for {name!r}")
    if not isinstance(value, Decimal | int):
        raise Unpriceable("not_a_number", f"expected a decimal for {name!r}, got the {type(value).__name__} {value!r}")
    number = Decimal(value)
    if number.is_finite() and number.adjusted() > ARITHMETIC.Emax:
        raise Unpriceable("amount_too_large", f"{name!r} is beyond 10^{ARITHMETIC.Emax}")
    if not number.is_finite():
        raise Unpriceable("not_a_number", f"expected a number for {name!r}, got {number}")
    return number


def compile_expression(
    source: str, resolve: Callable[[str], Name | None], result: Unit, known: Iterable[str] = ()
) -> Expression:
    """Check an expression and make it a function; raises ExpressionError.

    `resolve` says what an identifier stands for (None: nothing; Rejected: why not), `known` are the names to
    suggest for a mistyped one, `result` is what the expression must give: a currency's unit.
    """
    tokens = _tokens(source)
    compiler = _Compiler(_Source(source), resolve, known, Rules(Measure.of(result)))
    try:
        function = compiler.function()
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        column = (getattr(error, "offset", None) or 0) + compiler.source.indent
        raise ExpressionError(
            f"cannot read the expression: {getattr(error, 'msg', error)} at column {column}", column
        ) from None
    units = [f"{name} {of.kind.value} {of.unit.dimension} {of.unit.factor}" for name, of in compiler.names.items()]
    meaning = "\n".join(["expression/1", " ".join(tokens), *units, f"{result.dimension} {result.factor}"])
    return Expression(source, tuple(compiler.names), hashlib.sha256(meaning.encode()).hexdigest(), function)


_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<word>[^\W\d]\w*)|(?P<sign>\*\*|//|[<>=!]=|[-+*/<>(),])|(?P<space>\s+)"
)


def _tokens(source: str) -> list[str]:
    """The words, numbers and signs of the source; refuses what no tariff needs before anything parses it."""
    if len(source) > CHARACTERS_MAX:
        raise ExpressionError(f"expected at most {CHARACTERS_MAX} characters, got {len(source)}", CHARACTERS_MAX + 1)
    tokens, at = [], 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            digits = re.match(r"[\w.]+", source[at:])
            if digits and (source[at].isdigit() or source[at] == "."):
                what, hint = digits[0], "; a number is written 12 or 0.25"
            else:
                what, hint = source[at], "; compare with ==" if source[at] == "=" else ""
            raise ExpressionError(f"unexpected {what!r} at column {at + 1}{hint}", at + 1)
        if match["number"] and len(match[0].replace(".", "")) > LITERAL_DIGITS_MAX:
            raise ExpressionError(f"a number of more than {LITERAL_DIGITS_MAX} digits at column {at + 1}", at + 1)
        if not match["space"]:
            tokens.append(match[0])
        at = match.end()
    if not tokens:
        raise ExpressionError("the expression is empty", 0)
    return tokens


class _Source:
    """The text, and where in it a node stands; Python's parser counts bytes, we count characters."""

    def __init__(self, text: str) -> None:
        flat = re.sub(r"\s", " ", text)
        self.text = flat.strip()
        self.indent = len(flat) - len(flat.lstrip())
        self._bytes = self.text.encode(errors="replace")

    def column(self, node: ast.expr) -> int:
        return len(self._bytes[: node.col_offset].decode()) + self.indent + 1

    def piece(self, node: ast.expr) -> str:
        return self._bytes[node.col_offset : node.end_col_offset].decode()


_SIGNS: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


class _Compiler:
    """Turns the parsed source into new code, node by node; what is not named here is refused."""

    def __init__(
        self, source: _Source, resolve: Callable[[str], Name | None], known: Iterable[str], rules: Rules
    ) -> None:
        self.source = source
        self.names: dict[str, Name] = {}
        self._resolve = resolve
        self._known = known
        self._rules = rules
        self._globals: dict[str, object] = {"__builtins__": {}}

    def function(self) -> Callable[..., Decimal]:
        tree = ast.parse(self.source.text, mode="eval")
        nodes = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
        if nodes > NODES_MAX:
            raise ExpressionError(f"expected at most {NODES_MAX} operations, names and numbers, got {nodes}", 0)
        whole = self._visit(tree.body)
        self._rules.final(whole)
        arguments = [ast.arg(f"v{place}") for place in range(len(self.names))]
        function = ast.Lambda(ast.arguments([], arguments, None, [], [], None, []), whole.code)
        code = compile(ast.fix_missing_locations(ast.Expression(function)), "<tariff>", "eval")
        compiled: Callable[..., Decimal] = eval(code, self._globals)
        return compiled

    def _visit(self, node: ast.expr) -> Operand:
        part = Operand(self.source.piece(node), self.source.column(node), node)
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self._number(part)
            case ast.Name():
                return self._name(part, node.id)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                inner = self._visit(node.operand)
                self._rules.alike([inner], "negate")
                return replace(inner, text=part.text, column=part.column, code=ast.UnaryOp(node.op, inner.code))
            case ast.UnaryOp(op=ast.Not()):
                return replace(part, code=ast.UnaryOp(node.op, self._condition(node.operand)), truth=True)
            case ast.BoolOp():
                return replace(
                    part, code=ast.BoolOp(node.op, [self._condition(value) for value in node.values]), truth=True
                )
            case ast.BinOp() if type(node.op) in _SIGNS:
                return self._binary(part, node)
            case ast.Compare() if all(isinstance(op, _COMPARISONS) for op in node.ops):
                parts = [self._visit(value) for value in (node.left, *node.comparators)]
                left, *others = self._steady(parts, "compare")[0]
                code = ast.Compare(left.code, node.ops, [other.code for other in others])
                return replace(part, code=code, truth=True)
            case ast.IfExp():
                body, test, orelse = self._visit(node.body), self._condition(node.test), self._visit(node.orelse)
                return self._joined(part, [body, orelse], "choose between", lambda a, b: ast.IfExp(test, a, b))
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self._call(part, name, node.args)
        hint = "; decimals are written with a point, 12.50" if isinstance(node, ast.Tuple) else ""
        raise ExpressionError(f"{part} is not allowed in a tariff{hint}", part.column)

    def _number(self, part: Operand) -> Operand:
        number = Decimal(part.text)
        return replace(part, code=self._global(number), open=True, zero=not number)

    def _name(self, part: Operand, identifier: str) -> Operand:
        name = self.names.get(identifier)
        if name is None:
            try:
                name = self._resolve(identifier)
            except Rejected as refusal:
                raise ExpressionError(f"{part}: {refusal.text}", part.column) from None
        if name is None:
            raise self._unknown("name", identifier, part.column, [*self._known, *TIME_NAMES])
        place = list(self.names).index(identifier) if identifier in self.names else len(self.names)
        self.names[identifier] = name
        degree = 1 if name.kind is NameKind.USAGE else 0
        code = ast.Name(f"v{place}", ast.Load())
        return self._rules.settled(replace(part, code=code, measure=Measure.of(name.unit), degree=degree))

    def _binary(self, part: Operand, node: ast.BinOp) -> Operand:
        left, right = self._visit(node.left), self._visit(node.right)
        if isinstance(node.op, ast.Mult | ast.Div):
            part = replace(part, code=ast.BinOp(left.code, node.op, right.code))
            return self._rules.product(part, left, right, divide=isinstance(node.op, ast.Div))
        return self._joined(part, [left, right], _SIGNS[type(node.op)], lambda a, b: ast.BinOp(a, node.op, b))

    def _joined(
        self, part: Operand, parts: list[Operand], verb: str, code: Callable[[ast.expr, ast.expr], ast.expr]
    ) -> Operand:
        """A sum, a difference or a choice: both sides measure the same and cost alike."""
        fitted, measure, is_open = self._rules.alike(parts, verb)
        return replace(
            part,
            code=code(fitted[0].code, fitted[1].code),
            measure=measure,
            degree=self._rules.same_degree(parts),
            open=is_open,
            zero=all(each.zero for each in parts),
        )

    def _steady(self, parts: list[Operand], verb: str) -> tuple[list[Operand], Measure, bool]:
        """Numbers of one unit, none of which is usage: what they decide must not depend on the step's size."""
        for part in parts:
            if part.degree:
                raise ExpressionError(
                    f"cannot {verb} {part}, a meter; usage taken in two steps would not cost the same", part.column
                )
        return self._rules.alike(parts, verb)

    def _condition(self, node: ast.expr) -> ast.expr:
        """True or false: a comparison, or the name of a tag that is on or off."""
        part = self._visit(node)
        switch = isinstance(node, ast.Name) and part.measure.is_plain and self.names[node.id].kind is NameKind.VALUE
        if not part.truth and not switch:
            raise ExpressionError(f"expected a condition such as 6 <= hour < 22, got {part}", part.column)
        return part.code

    def _call(self, part: Operand, name: str, arguments: list[ast.expr]) -> Operand:
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._unknown("function", name, part.column, FUNCTIONS)
        if not function.least <= len(arguments) <= function.most:
            counts = " to ".join(str(count) for count in sorted({function.least, function.most}))
            raise ExpressionError(
                f"{name} at column {part.column} takes {counts} values, got {len(arguments)}", part.column
            )
        fitted, measure, is_open = self._steady([self._visit(argument) for argument in arguments], f"take {name} of")
        self._globals[name] = function.apply
        code = ast.Call(ast.Name(name, ast.Load()), [each.code for each in fitted], [])
        if function.truth:
            return replace(part, code=code, truth=True)
        return self._rules.settled(replace(part, code=code, measure=measure, open=is_open))

    def _global(self, number: Decimal) -> ast.expr:
        name = f"c{len(self._globals)}"
        self._globals[name] = number
        return ast.Name(name, ast.Load())

    def _unknown(self, kind: str, name: str, column: int, known: Iterable[str]) -> ExpressionError:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return ExpressionError(f"unknown {kind} {name!r} at column {column}{hint}", column)
