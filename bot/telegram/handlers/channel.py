"""A channel's post that is a kind's command, answered by a post with the text. Unpacks and calls the studio.

Telegram does not say which of the editors wrote it: the channel asks as itself, with limits of its own, and as it
cannot agree to anything, nothing learns from it. All other posts are nobody's business here.
"""

from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.common.kinds import Kind, Kinds, language_of_topic
from bot.generation.studio import Request, Studio


def handlers(studio: Studio, kinds: Kinds) -> list[BaseHandler[Any, Any, Any]]:
    """A handler for each kind's command."""

    def command(kind: Kind) -> CommandHandler[Any, Any]:
        async def on_post(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
            post = update.channel_post
            if post is None or post.text is None:
                return
            topic = "".join(post.text.split(maxsplit=1)[1:])
            request = Request(
                update_id=update.update_id,
                person_id=post.chat_id,
                chat_id=post.chat_id,
                message_id=post.message_id,
                language=language_of_topic(topic),
                is_channel=True,
            )
            await studio.write(request, kind, topic)

        return CommandHandler(kind.name, on_post, filters=filters.UpdateType.CHANNEL_POST)

    return [command(kind) for kind in kinds.by_name.values()]
