"""What people do with their own data: /mydata and /forget. Unpacks and calls the services."""

from functools import partial
from typing import Any

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes, filters

from bot.common.errors import Refusal
from bot.common.texts import say
from bot.messaging.confirmations import Confirmations
from bot.messaging.messenger import patiently
from bot.privacy.dossier import MyData
from bot.privacy.forgetting import Forgetting
from bot.telegram.delivery import Delivery
from bot.telegram.incoming import address_of, ask_first, incoming


def handlers(
    my_data: MyData, forgetting: Forgetting, confirmations: Confirmations, delivery: Delivery
) -> list[BaseHandler[Any, Any, Any]]:
    """Handlers for the two commands."""

    async def on_my_data(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is None:
            return
        if not message.is_private:
            raise Refusal("mydata-private")
        document = await my_data.document(message.request.person_id)
        caption = say(message.language, "mydata-done")
        await patiently(lambda: delivery.send_file(address_of(message), document, name="mydata.json", caption=caption))

    async def on_forget(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        message = incoming(update, bot_id=context.bot.id)
        if message is not None:
            forget = partial(forgetting.forget, message.request.person_id)
            await ask_first(delivery, confirmations, message, forget, "forget-confirm")

    return [
        CommandHandler("mydata", on_my_data, filters=filters.UpdateType.MESSAGE),
        CommandHandler("forget", on_forget, filters=filters.UpdateType.MESSAGE),
    ]
