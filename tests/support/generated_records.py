"""Records for the property test: valid events, and what may come instead of one.

Everything is drawn from one ``random.Random``: the same seed gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from tests.support.tokens import (
    BROKEN,
    CHARACTERS,
    ESCAPES,
    JUNK,
    LITERALS,
    NUMBERS,
    SPACES,
    STRINGS,
    TIMES,
    WHOLE,
)
from watershed.contracts.model import Contract, Field

Pairs = list[tuple[str, str]]
"""Keys and values as JSON tokens, in the order of writing."""

LONG_S = 9_998 * 365 * 86_400


class Records:
    """Draws records of one contract."""

    def __init__(self, contract: Contract, rng: Random) -> None:
        self._fields, self._rng = contract.fields, rng

    def take(self, count: int) -> Iterator[bytes | None]:
        """Values of Kafka records."""
        return (self._record() for _ in range(count))

    def _record(self) -> bytes | None:
        rng = self._rng
        if rng.random() < 0.02:
            return rng.choice([*WHOLE, None])
        if rng.random() < 0.01:
            return rng.randbytes(rng.randrange(1, 80))
        pairs = self._event()
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            rng.choice(self._CHANGES)(self, pairs)
        text = self._written(pairs)
        if rng.random() < 0.15:
            text = rng.choice(self._EDITS)(self, text)
        value = text.encode("utf-8", "surrogatepass")
        return self._bent(value) if rng.random() < 0.05 else value

    def _event(self) -> Pairs:
        pairs = [
            (json.dumps(name), self._valid(field))
            for name, field in self._fields.items()
            if field.required or self._rng.random() < 0.5
        ]
        if self._rng.random() < 0.3:
            self._rng.shuffle(pairs)
        return pairs

    def _valid(self, field: Field) -> str:
        rng = self._rng
        if field.nullable and rng.random() < 0.2:
            return "null"
        match field.kind:
            case "uuid":
                return json.dumps(str(UUID(int=rng.getrandbits(128))))
            case "boolean":
                return rng.choice(["true", "false"])
            case "timestamp":
                return json.dumps(self._time())
            case "string" if field.enum:
                return self._string(rng.choice(field.enum))
            case "string":
                return self._string(rng.choice(["AB-1", "XY-12", "[x]", "é", "", "😀", "7"]))
        return self._number(field)

    def _time(self) -> str:
        rng = self._rng
        at = datetime(2, 1, 1) + timedelta(milliseconds=rng.randrange(LONG_S * 1000))
        if rng.random() < 0.7:
            at = at.replace(year=rng.randrange(1970, 2100), day=1)
        digits = rng.choice(["", ".1", f".{rng.randrange(100):02d}", f".{rng.randrange(1000):03d}"])
        offset = f"{rng.choice('+-')}{rng.randrange(19):02d}:{rng.choice(['00', '30'])}"
        zone = rng.choice(["Z", offset])
        return at.isoformat(timespec="seconds") + digits + zone

    def _number(self, field: Field) -> str:
        rng = self._rng
        precision, scale = field.decimal or (19, 0)
        if field.kind == "double":
            return repr(rng.uniform(0.1, 100))
        low = -90 if field.minimum is None else int(field.minimum)
        whole = rng.randrange(low, 90) if precision > scale + 1 else 0
        fraction = "".join(rng.choices("0123456789", k=rng.randrange(scale + 1)))
        text = f"{whole}.{fraction}" if fraction else f"{whole}"
        if rng.random() < 0.1:
            text += rng.choice(["e0", "E+0", "0e-1" if fraction else "0e0", "e-1", "e1"])
        return f'"{text}"' if field.decimal and rng.random() < 0.3 else text

    def _string(self, text: str) -> str:
        """The text as a JSON string, some of its characters as escapes."""
        rng = self._rng
        if rng.random() < 0.8:
            return json.dumps(text, ensure_ascii=rng.random() < 0.5)
        return '"' + "".join(self._escaped(character) for character in text) + '"'

    def _escaped(self, character: str) -> str:
        if character in '"\\' or self._rng.random() < 0.5:
            units = character.encode("utf-16-be", "surrogatepass").hex()
            return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
        return character

    def _token(self, depth: int = 0) -> str:
        """Any JSON value, or nearly one."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.3:
            return rng.choice(NUMBERS)
        if draw < 0.4:
            return self._random_number()
        if draw < 0.65:
            return self._string(rng.choice(rng.choice([STRINGS, TIMES])))
        if draw < 0.75:
            start, end = rng.choice(["", "x", "[", "{1"]), rng.choice(["", "x"])
            return f'"{start}{rng.choice(ESCAPES)}{end}"'
        if draw < 0.8:
            return json.dumps("".join(rng.choices(CHARACTERS, k=rng.randrange(6))))
        if draw < 0.9 or depth > 2:
            return rng.choice(LITERALS)
        return self._nested(depth)

    def _random_number(self) -> str:
        rng = self._rng
        digits = "".join(rng.choices("0123456789", weights=[9, *[1] * 9], k=rng.randrange(1, 45)))
        cut = rng.randrange(len(digits) + 1)
        whole = digits[:cut].lstrip("0") or "0"
        fraction = "." + digits[cut:] if digits[cut:] else ""
        exponent = rng.choice(["", "", f"e{rng.randrange(-60, 60)}", f"E+{rng.randrange(40)}"])
        text = rng.choice(["", "-"]) + whole + fraction + exponent
        return f'"{text}"' if rng.random() < 0.2 else text

    def _nested(self, depth: int) -> str:
        """An array or object; objects have declared names as keys."""
        rng = self._rng
        values = [self._token(depth + 1) for _ in range(rng.randrange(4))]
        if rng.random() < 0.4:
            return "[" + ",".join(values) + "]"
        keys = [json.dumps(rng.choice(list(self._fields))) for _ in values]
        return "{" + ",".join(f"{k}:{v}" for k, v in zip(keys, values, strict=True)) + "}"

    def _replace(self, pairs: Pairs) -> None:
        if pairs:
            i = self._rng.randrange(len(pairs))
            pairs[i] = pairs[i][0], self._token()

    def _quote(self, pairs: Pairs) -> None:
        """A value as a string, or a string's text as a value."""
        if pairs:
            i = self._rng.randrange(len(pairs))
            key, token = pairs[i]
            pairs[i] = key, token[1:-1] if token.startswith('"') else json.dumps(token)

    def _drop(self, pairs: Pairs) -> None:
        if pairs:
            pairs.pop(self._rng.randrange(len(pairs)))

    def _repeat(self, pairs: Pairs) -> None:
        if pairs:
            key, token = self._rng.choice(pairs)
            name = self._respelt(key) if self._rng.random() < 0.5 else key
            again = token if self._rng.random() < 0.5 else self._token()
            pairs.insert(self._rng.randrange(len(pairs) + 1), (name, again))

    def _respell(self, pairs: Pairs) -> None:
        if pairs:
            i = self._rng.randrange(len(pairs))
            pairs[i] = self._respelt(pairs[i][0]), pairs[i][1]

    def _respelt(self, key: str) -> str:
        return self._string(json.loads(key, strict=False)) if key.startswith('"') else key

    def _undeclare(self, pairs: Pairs) -> None:
        names = ["note", "x", "", "[", "{}", "1", "true", "_doc", "Id", *STRINGS]
        key = self._string(self._rng.choice(names))
        token = self._nested(0) if self._rng.random() < 0.5 else self._token()
        pairs.insert(self._rng.randrange(len(pairs) + 1), (key, token))

    def _misname(self, pairs: Pairs) -> None:
        if pairs:
            i = self._rng.randrange(len(pairs))
            odd = ["1", "-1.5", "true", "null", "x", "'x'", "[]", '"\\u0000"', '"\\ud800"']
            pairs[i] = self._rng.choice(odd), pairs[i][1]

    _CHANGES: tuple[Callable[[Records, Pairs], None], ...] = (
        *(_replace, _replace, _replace, _replace, _quote, _drop, _repeat, _respell, _undeclare),
        *(_undeclare, _misname),
    )

    def _written(self, pairs: Pairs) -> str:
        rng = self._rng
        if rng.random() < 0.7:
            return "{" + ",".join(f"{key}:{token}" for key, token in pairs) + "}"
        spaces = SPACES if rng.random() < 0.3 else SPACES[:8]

        def space() -> str:
            return rng.choice(spaces)

        members = (f"{space()}{k}{space()}:{space()}{v}{space()}" for k, v in pairs)
        return f"{space()}{{{','.join(members)}{space()}}}{space()}"

    def _cut(self, text: str) -> str:
        return text[: self._rng.randrange(len(text) + 1)]

    def _append(self, text: str) -> str:
        return text + self._rng.choice(JUNK) + self._rng.choice(["", "", text, "x"])

    def _prepend(self, text: str) -> str:
        return self._rng.choice(JUNK) + text

    def _insert(self, text: str) -> str:
        at = self._rng.randrange(len(text) + 1)
        piece: str = self._rng.choice([*JUNK, *CHARACTERS, *ESCAPES])
        return text[:at] + piece + text[at:]

    def _delete(self, text: str) -> str:
        at = self._rng.randrange(len(text) + 1)
        return text[:at] + text[at + 1 :]

    def _single_quotes(self, text: str) -> str:
        return text.replace('"', "'", self._rng.choice([-1, 2]))

    def _deepen(self, text: str) -> str:
        levels = self._rng.choice([3, 250, 498, 499, 500, 999, 1000, 1001, 3000])
        opening, closing = self._rng.choice([("[", "]"), ('{"a":', "}"), ('[1,"]",', "]")])
        return text[:-1] + f',"deep":{opening * levels}1{closing * levels}' + text[-1:]

    _EDITS: tuple[Callable[[Records, str], str], ...] = (
        *(_cut, _append, _prepend, _insert, _insert, _delete, _single_quotes, _deepen),
    )

    def _bent(self, value: bytes) -> bytes:
        """Bytes that are mostly no UTF-8."""
        rng = self._rng
        at = rng.randrange(len(value) + 1)
        match rng.randrange(4):
            case 0:
                return value[:at] + rng.choice(BROKEN) + value[at:]
            case 1:
                return value[:at]  # also within a character
            case 2:
                return value[:at] + rng.randbytes(rng.randrange(1, 5)) + value[at:]
        return value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :]
