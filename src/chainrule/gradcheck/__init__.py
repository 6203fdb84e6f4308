"""GRADCHECK: numeric, symbolic and automatic derivatives side by side, with a verdict in words."""

from chainrule.gradcheck.check import gradcheck
from chainrule.gradcheck.report import Comparison, Report
from chainrule.gradcheck.steps import StepErrors

__all__ = ["Comparison", "Report", "StepErrors", "gradcheck"]
