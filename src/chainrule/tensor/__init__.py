"""The user's handle on a storage: ``Tensor``, and what it is made of.

The rooms: ``path.py`` the way from a storage to a view, ``handle.py`` reading and writing;
``operands.py`` how operands meet; ``operators.py``, ``order.py``, ``places.py``, ``filling.py``,
``views.py``, ``indexing.py`` what can be done with tensors; ``exchange.py`` NumPy's side;
``tensor.py`` gradients, looking, conversion; ``contraction.py`` einsum and tensordot.
"""

from chainrule.tensor.tensor import Tensor, tensor

__all__ = ["Tensor", "tensor"]
