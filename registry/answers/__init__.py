"""The verification answers that were given, in files of their own, and the recall of those that a revocation belies.

It says what was answered, when and through which door; never who asked. Nothing here decides anything.
"""

from registry.answers.given import Channel, GivenAnswer
from registry.answers.log import AnswerLog
from registry.answers.recall import Recall, recall

__all__ = ["AnswerLog", "Channel", "GivenAnswer", "Recall", "recall"]
