"""Receiving updates: long polling and webhooks. Knows the queue, not what its updates say."""

from datetime import UTC

from bot.sandbox.api.methods.context import Context, Handler
from bot.sandbox.api.params import Params
from bot.sandbox.api.webhook import Hook
from bot.sandbox.world.errors import WEBHOOK_ACTIVE, bad_request, conflict

MAX_POLL_SECONDS = 50
MAX_UPDATES = 100


async def get_updates(context: Context, params: Params) -> object:
    """Updates from `offset` on; waits at most `timeout` seconds for the first."""
    if context.webhook.hook is not None:
        raise conflict(WEBHOOK_ACTIVE)
    updates = context.state.updates
    updates.allow(_kinds(params))
    limit = min(max(params.integer("limit", MAX_UPDATES), 1), MAX_UPDATES)
    timeout = min(max(params.integer("timeout"), 0), MAX_POLL_SECONDS)
    waiting = await updates.poll(params.integer("offset"), limit, timeout)
    return [each.on_the_wire() for each in waiting]


async def set_webhook(context: Context, params: Params) -> object:
    """Deliver updates by POST from now on; an empty url returns to polling."""
    url = params.text("url")
    if url and not url.startswith(("https://", "http://")):
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    context.state.updates.allow(_kinds(params))
    if params.flag("drop_pending_updates"):
        context.state.updates.pending.clear()
    context.webhook.set(Hook(url, params.text("secret_token") or None) if url else None)
    return True


async def delete_webhook(context: Context, params: Params) -> object:
    """Return to polling."""
    if params.flag("drop_pending_updates"):
        context.state.updates.pending.clear()
    context.webhook.set(None)
    return True


async def get_webhook_info(context: Context, params: Params) -> object:
    """Where updates go, how many wait, and what went wrong last."""
    hook = context.webhook.hook
    info: dict[str, object] = {
        "url": hook.url if hook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(context.state.updates.pending),
        "allowed_updates": sorted(context.state.updates.allowed),
    }
    if context.webhook.last_error is not None:
        at, reason = context.webhook.last_error
        info |= {"last_error_date": int(at.astimezone(UTC).timestamp()), "last_error_message": reason}
    return info


def _kinds(params: Params) -> list[str] | None:
    kinds = params.items("allowed_updates", "allowed_updates")
    return None if kinds is None else [str(kind) for kind in kinds]


METHODS: dict[str, Handler] = {
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
}
