"""What can keep a deployment from being done, each as one sentence that says what to do."""

from __future__ import annotations

from include.core.errors import UserError


class DeploymentError(UserError):
    """It was not done; the message says why, what production is now, and what to do."""


class LostError(DeploymentError):
    """Another deployment has the lock by now, or may have it; this one changes nothing more."""
