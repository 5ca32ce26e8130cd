"""The operator sees how the bot is: machines over HTTP on loopback, admins in chat; and can back it up and restore."""

import asyncio
import signal

import httpx
import psutil

from bot.sandbox.server import Sandbox
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values

METRICS = (
    "accepted_total delivered_total duplicate_updates_total unknown_sends_total orphans_total queue_depth"
    " queue_age_seconds tokens_total 429s_total wal_bytes free_disk_bytes last_training_success_timestamp_seconds"
    " active_version consented_people dead_letters_total engine_restarts overhead_seconds_bucket"
).split()


OF_STRANGERS = (
    ("Host", "rebound.example", 400),
    ("Origin", "http://evil.example", 403),
    ("Sec-Fetch-Site", "cross-site", 403),
    ("Host", "prometheus.example:9090", 200),  # named in HEALTH_HOSTS
    ("Host", "localhost:1234", 200),
)


def health_address(bot: BotProcess) -> str:
    return bot.log.rsplit("health at ", 1)[1].split()[0]


async def test_the_truth_is_told_to_machines_and_to_admins(
    lone_bot: BotProcess, scene: Scene, sandbox: Sandbox
) -> None:
    await lone_bot.start(HEALTH_HOSTS="prometheus.example")
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    address = health_address(lone_bot)
    assert address.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient(timeout=20) as http:
        assert (await http.get(f"{address}/live")).json()["status"] == "ok"
        for path in ("live", "ready", "metrics"):
            for name, value, status in OF_STRANGERS:
                assert (await http.get(f"{address}/{path}", headers={name: value})).status_code == status, (path, value)
        ready = await http.get(f"{address}/ready")
        assert ready.status_code == 200 and set(ready.json()["checks"]) == {"disk", "updates", "queue", "engine"}
        numbers = (await http.get(f"{address}/metrics")).text
        assert [name for name in METRICS if f"ovation_{name}" not in numbers] == []
        assert "ovation_delivered_total 1.0" in numbers and 'ovation_active_version{version="starter"} 1.0' in numbers
        root, private = scene.person("Root", person_id=ADMIN_ID)
        told = await scene.say(root, private, "/health")
        assert told.count("✅") == 4 and "Version: starter" in told

        assert lone_bot.process is not None
        (engine,) = [c for c in psutil.Process(lone_bot.process.pid).children() if "engine.serve" in c.cmdline()]
        engine.send_signal(signal.SIGSTOP)
        assert (await http.get(f"{address}/ready")).status_code == 503
        assert (await http.get(f"{address}/live")).status_code == 200
        engine.send_signal(signal.SIGCONT)
        while (await http.get(f"{address}/ready")).status_code != 200:
            await asyncio.sleep(0.2)


async def test_a_backup_is_restored_with_what_was_in_it(bot: BotProcess, scene: Scene, sandbox: Sandbox) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    root, private = scene.person("Root", "zh", person_id=ADMIN_ID)
    message = await scene.ask(ada, chat, "/slogan green tea")
    sandbox.world.react(ada, message, ["👍"])
    await values(bot, 1.0)
    said = await scene.say(root, private, "/backup")
    name = next(word for word in said.split() if word.endswith(".db"))
    sandbox.world.react(ada, message, ["👎"])
    await values(bot, -1.0)
    assert await bot.stop() == 0
    printed = await bot.ovation("restore", str(bot.folder / "data" / "backups" / name), "--yes")
    assert "ovation.db.before-restore" in printed
    await bot.start()
    await values(bot, 1.0)
    assert (await scene.ask(ada, chat, "/slogan black tea")).button("up:")
    assert "backup" in await scene.say(root, private, "/audit")


async def test_the_doctor_finds_a_healthy_bot_healthy(bot: BotProcess, scene: Scene) -> None:
    await bot.start()
    ada, chat = scene.person("Ada")
    await scene.ask(ada, chat, "/slogan green tea")
    assert "failed" not in (await bot.ovation("doctor", "--json")).replace('"failed": 0', "")
