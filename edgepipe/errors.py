"""Every error a user can meet, drawn once.

    EdgepipeError                   exit 1
    |-- RecipeError (ValueError)    exit 2   the recipe or the command line is wrong
    |-- InputError                  exit 2   what the recipe names cannot be used
    |   |-- ModelError                       a network, checkpoint or ONNX file
    |   `-- DataError                        pictures, labels, folders, archives
    |-- PassError                   exit 1   a pass could not do its work
    |   `-- ParityError                      a converted model does not answer as its source did
    |-- MeasureError                exit 1   an artifact could not be measured
    |-- VerifyError                 exit 1   the deployed file could not be run elsewhere, or answers differently
    `-- StoreError                  exit 1   the artifact store cannot be read or written

A message says where (file and key), what was found and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class EdgepipeError(Exception):
    """Base of all errors whose message is meant for the user; printed without a traceback."""

    exit_code: ClassVar[int] = 1


class RecipeError(EdgepipeError, ValueError):
    """The recipe or command line is wrong. A ValueError, so that pydantic adds the location."""

    exit_code = 2


class InputError(EdgepipeError):
    """Something the recipe names (a file, a folder, a network) cannot be used."""

    exit_code = 2


class ModelError(InputError):
    """A network, a checkpoint or an ONNX file cannot be used."""


class DataError(InputError):
    """Pictures, labels, folders or archives cannot be used."""


class PassError(EdgepipeError):
    """A pass could not do its work on the artifact it was given."""


class ParityError(PassError):
    """A converted model does not answer as the model it was made from."""


class MeasureError(EdgepipeError):
    """An artifact could not be measured."""


class VerifyError(EdgepipeError):
    """The deployed file could not be run on another processor or runtime, or answers differently there."""


class StoreError(EdgepipeError):
    """The artifact store cannot be read or written."""
