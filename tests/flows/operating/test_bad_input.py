"""Every wrong use gets one clear sentence and the right exit status, and loses nothing."""

import asyncio
import os
import sys
from pathlib import Path

from bot.sandbox.server import Sandbox
from tests.support.scene import ADMIN_ID, BotProcess, Scene


async def run_to_end(bot: BotProcess, **options: str) -> tuple[int, str]:
    """Run `python -m bot` until it gives up; its exit status and what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", cwd=bot.folder, env={**bot.environment, **options},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode is not None
    said = stderr.decode()
    assert "Traceback" not in said
    return child.returncode, said


async def test_no_token(bot: BotProcess) -> None:
    status, said = await run_to_end(bot, TELEGRAM_BOT_TOKEN="")
    assert status == 2 and said.startswith("TELEGRAM_BOT_TOKEN is missing")


async def test_a_wrong_token(bot: BotProcess) -> None:
    status, said = await run_to_end(bot, TELEGRAM_BOT_TOKEN="123456789:AAE-wrong_wrong_wrong_wrong_wrong_x")
    assert status == 2 and "copy it again from @BotFather" in said and "AAE-wrong" not in said


async def test_a_start_that_telegram_puts_off_waits_and_one_that_it_refuses_ends(
    bot: BotProcess, sandbox: Sandbox
) -> None:
    webhook = {
        "WEBHOOK_URL": "http://127.0.0.1:9/telegram", "WEBHOOK_SECRET": "only-telegram-knows",
        "WEBHOOK_LISTEN": "127.0.0.1:0",
    }  # fmt: skip
    sandbox.faults.refuse("setWebhook", 429, times=1)
    sandbox.faults.refuse("setWebhook", 400, times=1, description="Bad Request: bad webhook: URL host is empty")
    status, said = await run_to_end(bot, **webhook)
    assert status == 2 and "Telegram asks to wait." in said
    assert said.splitlines()[-1].startswith("Telegram refuses the start (Bad webhook: url host is empty)")
    sandbox.faults.refuse("getMe", 429, times=1)
    sandbox.faults.refuse("getMe", 502, times=1)
    sandbox.faults.refuse("deleteWebhook", 429, times=1)
    await bot.start()
    assert [call.status for call in sandbox.calls_of("deleteWebhook")] == [429, 200]


async def test_a_broken_env_file(bot: BotProcess) -> None:
    file = bot.folder / ".env"
    file.write_text("what is this\nMIN_RATINGS=many\n")
    file.chmod(0o600)
    status, said = await run_to_end(bot)
    assert status == 2 and "line 1" in said and "MIN_RATINGS" in said
    file.chmod(0o644)
    status, said = await run_to_end(bot)
    assert status == 2 and "chmod 600" in said


async def test_an_unknown_model(lone_bot: BotProcess) -> None:
    status, said = await run_to_end(lone_bot, MODEL=str(lone_bot.folder / "no-such-model"))
    assert status == 2 and "There is no model" in said.splitlines()[-1]


async def test_a_model_that_is_none_is_told_before_the_token_is_tried(lone_bot: BotProcess) -> None:
    page = lone_bot.folder / "model.gguf"
    page.write_text("<html>404</html>")
    wrong_token = "123456789:AAE-wrong_wrong_wrong_wrong_wrong_x"
    status, said = await run_to_end(lone_bot, MODEL=str(page), TELEGRAM_BOT_TOKEN=wrong_token)
    assert status == 2 and said.splitlines()[-1].startswith(f"{page} is no GGUF file")


async def test_a_second_bot_on_one_data_folder_or_one_token(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    status, said = await run_to_end(bot)
    assert status == 2 and "Another Ovation is running on the data folder" in said
    status, said = await run_to_end(bot, DATA_DIR=str(bot.folder / "other"))
    assert status == 2 and "with this TELEGRAM_BOT_TOKEN" in said
    ada, chat = scene.person("Ada")
    assert (await scene.ask(ada, chat, "/slogan green tea")).button("up:")


async def test_a_lost_key(bot: BotProcess) -> None:
    await bot.start()
    await bot.stop()
    (bot.folder / "data.key").unlink()
    status, said = await run_to_end(bot)
    assert status == 2 and "restore it" in said


async def test_an_occupied_port_of_the_engine_and_of_the_demo(sandbox: Sandbox, tmp_path: Path) -> None:
    port = sandbox.url.rsplit(":", 1)[1]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "MODEL", "PYTHONPATH") if name in os.environ}
    for command in (("-m", "engine.serve", "--port", port), ("-m", "bot.cli", "demo", "--once", "--port", port)):
        child = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await asyncio.wait_for(child.communicate(), 60)
        said = stderr.decode()
        assert child.returncode == 2 and port in said and "Traceback" not in said


async def test_export_without_data(bot: BotProcess) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", "export", "ratings", cwd=bot.folder, env=bot.environment,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await child.communicate()
    assert child.returncode == 1 and "start the bot once" in stderr.decode()


async def test_strange_messages_get_a_sentence_and_nothing_breaks(
    bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await bot.start(PROMPTS_PER_HOUR="3")
    ada, chat = scene.person("Ada")
    admin, admins_chat = scene.person("Root", person_id=ADMIN_ID)
    assert (
        await scene.say(ada, chat, "/slogan") == "What about? Write it after the command, like this: /slogan green tea"
    )
    assert "at most 2,000" in await scene.say(ada, chat, "/slogan " + "tea " * 1000)
    assert "I do not know /juggle" in await scene.say(ada, chat, "/juggle now")
    assert "Only the admins" in await scene.say(ada, chat, "/models")
    assert "There is no version" in await scene.say(admin, admins_chat, "/promote ../../etc/passwd")
    assert "nothing to go back to" in await scene.say(admin, admins_chat, "/rollback")
    assert "No version is waiting" in await scene.say(admin, admins_chat, "/approve")
    assert "Write /retrain" in await scene.say(admin, admins_chat, "/retrain now please")
    for hostile in ("\u202eright to left\u202c", "zero\u200bwidth", "<b>&amp;</b> [x](y) *_`", "😀" * 300):
        assert (await scene.ask(ada, chat, f"/title {hostile}")).button("up:")
        await asyncio.sleep(0)
        if len(await bot.export("generations")) == 3:
            break
    assert "3 times within an hour" in await scene.say(ada, chat, "/slogan green tea")
    assert "ERROR" not in bot.log


async def test_no_answer_shows_an_exception(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    sandbox.faults.refuse("sendMessage", 500, times=1)
    ada, chat = scene.person("Ada")
    answer = await scene.say(ada, chat, "/start")
    assert "Error" not in answer and "Traceback" not in answer
