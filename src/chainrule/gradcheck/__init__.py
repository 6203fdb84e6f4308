"""GRADCHECK: numeric, symbolic and automatic derivatives side by side, with a verdict in words."""

from chainrule.gradcheck.check import Comparison, Report, gradcheck

__all__ = ["Comparison", "Report", "gradcheck"]
