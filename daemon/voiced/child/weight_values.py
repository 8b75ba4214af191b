"""Whether weights are numbers: looked at as bits, a piece at a time, for torch takes a second to import."""

from typing import NamedTuple

_MAX_NAME_CHARS = 400


class Refused(Exception):
    """A file that is not installed; says why."""


def short(text: str) -> str:
    """Return a name or message out of a file, at a length that people read."""
    return text if len(text) <= _MAX_NAME_CHARS else text[:_MAX_NAME_CHARS] + " ..."


class FloatKind(NamedTuple):
    """A kind of float as bits."""

    unsigned: str
    """Of the same width, as numpy calls it."""
    exponent: int
    """The bits that are all set in NaN and infinity, and in nothing else."""
    may_mask: bool = True
    """Whether minus infinity may stand for "not this one"."""


FLOATS = {
    "F64": FloatKind("<u8", 0x7FF0_0000_0000_0000),
    "F32": FloatKind("<u4", 0x7F80_0000),
    "F16": FloatKind("<u2", 0x7C00),
    "BF16": FloatKind("<u2", 0x7F80),
    "F8_E5M2": FloatKind("|u1", 0x7C),
    "F8_E4M3": FloatKind("|u1", 0x7F, may_mask=False),  # of the kind "fn", which has but one NaN
    "C64": FloatKind("<u4", 0x7F80_0000, may_mask=False),  # pairs of F32; nobody masks with them
}
"""By their names in safetensors."""
OTHERS = frozenset({"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})
"""Kinds whose values are all numbers."""


class WeightValues:
    """A look at the values of one tensor, in pieces.

    Args:
        name: Of the tensor.
        kind: As safetensors names it.

    Raises:
        Refused: If no engine here reads such a kind.
    """

    def __init__(self, name: str, kind: str) -> None:
        if kind not in FLOATS and kind not in OTHERS:
            raise Refused(f"{short(name)!r} is of the kind {short(kind)}, which no engine here reads")
        self._name = name
        self._float = FLOATS.get(kind)
        self._is_finite = True
        self._is_mask = self._float is not None and self._float.may_mask

    def look(self, data: bytes) -> None:
        """Look at the next piece, of whole values; its size in memory is needed thrice.

        Raises:
            Refused: At NaN, and at infinity but in a mask, which is made of 0 and minus infinity.
        """
        if self._float is None:
            return
        import numpy as np

        bits = np.frombuffer(data, self._float.unsigned)
        exponent = bits.dtype.type(self._float.exponent)
        sign = bits.dtype.type(1 << (8 * bits.itemsize - 1))
        self._is_finite = self._is_finite and bool((bits & exponent).max(initial=0) < exponent)
        self._is_mask = self._is_mask and bool((((bits & ~sign) == 0) | (bits == (sign | exponent))).all())
        if not self._is_finite and not self._is_mask:
            raise Refused(
                f"the weights {short(self._name)!r} hold values that are no numbers (NaN or infinite)"
            )
