"""How error signals are called: v̄, ∂L/∂v or δ; and all of it in plain letters.

bar        v̄                    the lectures' programs: a stored value
leibniz    ∂L/∂v                what it is
delta      δ_z, and ∂L/∂w of leaves   the delta rule: ∂L/∂w = δ_z x
jacobian   ∂L/∂v, a row          products loss-first of Jacobians, outputs × inputs
"""

from __future__ import annotations

import re
import unicodedata

from chainrule.errors import UsageError, message

__all__ = ["NOTATIONS", "ascii_text", "bar_of", "check_notation", "signal_name"]

NOTATIONS = ("bar", "leibniz", "delta", "jacobian")


def check_notation(notation: str) -> str:
    """The notation, or a UsageError."""
    if notation not in NOTATIONS:
        needs = "one of " + ", ".join(NOTATIONS)
        raise UsageError(message("explain", f"notation {notation!r}", needs))
    return notation


def bar_of(name: str) -> str:
    """The name of the error signal: v -> v̄, W₁ -> W̄₁, fc.weight -> fc.w̄eight."""
    path, dot, last = name.rpartition(".")
    return unicodedata.normalize("NFC", f"{path}{dot}{last[:1]}\u0304{last[1:]}")


def signal_name(name: str, loss: str, notation: str, leaf: bool = False) -> str:
    """What the error signal of a value is called.

    >>> [signal_name("z", "L", notation) for notation in NOTATIONS]
    ['z̄', '∂L/∂z', 'δ_z', '∂L/∂z']
    >>> signal_name("w", "L", "delta", leaf=True)
    '∂L/∂w'
    """
    if notation == "bar":
        return bar_of(name)
    if notation == "delta" and not leaf:
        return f"δ_{name}"
    return f"∂{loss}/∂{name}"


WORDS = {
    "·": "*", "∘": ".*", "−": "-", "ᵀ": "^T", "√": "sqrt", "∂": "d", "Σ": "sum", "≤": "<=",
    "≥": ">=", "≠": "!=", "½": "1/2", "‖": "||", "×": "x", "…": "...", "→": "->", "⊙": ".*",
    "⎡": "[", "⎢": "[", "⎣": "[", "⎤": "]", "⎥": "]", "⎦": "]", "∞": "inf", "–": "-", "±": "+-",
}  # fmt: skip
RAISED, LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "₀₁₂₃₄₅₆₇₈₉"


def ascii_text(text: str) -> str:
    """A formula in plain letters: v̄ is v_bar, W₁ is W1, · is *, ∘ is .*, ² is ^2.

    >>> ascii_text("W̄₁ = z̄ xᵀ + λ·ŷ²")
    'W1_bar = z_bar x^T + lambda*y_hat^2'
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFD", text)
    text = text.translate({ord(c): str(i) for i, c in enumerate(LOWERED)})
    for mark, word in (("\u0304", "bar"), ("\u0302", "hat")):
        text = re.sub(rf"(\w){mark}([^\W{RAISED}ᵀ]*)", rf"\1\2_{word}", text)
    text = re.sub(f"[{RAISED}]+", lambda m: "^" + "".join(_digit(c) for c in m[0]), text)
    return "".join(_letter(c) for c in text)


def _digit(raised: str) -> str:
    return "0123456789-"[RAISED.index(raised)]


def _letter(c: str) -> str:
    if c.isascii():
        return c
    if c in WORDS:
        return WORDS[c]
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(c, ""))
    if found:
        greek = found[2].lower().replace("lamda", "lambda")  # Unicode's spelling
        return greek if found[1] == "SMALL" else greek.capitalize()
    plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return plain or ("" if unicodedata.combining(c) else "?")
