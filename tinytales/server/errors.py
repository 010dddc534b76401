"""Errors in OpenAI's form: whatever goes wrong, a client can read it."""

from __future__ import annotations

import logging

from tinytales.errors import PromptError, TinytalesError, UsageError


class ApiError(Exception):
    """An error in OpenAI's form: the status, and what goes into `error`."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def as_api_error(error: Exception) -> ApiError:
    """What the client is told of `error`; one that nobody foresaw goes to the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TinytalesError):
        said = f"{error.message}: {error.hint}" if error.hint else error.message
        if isinstance(error, PromptError) and "too long" in error.message:
            return ApiError(said, code="context_length_exceeded")
        if isinstance(error, UsageError):
            return ApiError(said)
        return ApiError(said, status=500, kind="server_error")
    logging.getLogger("uvicorn.error").error("the storyteller failed", exc_info=error)
    return ApiError("the storyteller failed", status=500, kind="server_error")
