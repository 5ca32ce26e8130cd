"""What simulated people ask for: kinds and everyday topics in English and Chinese. Knows nothing else."""

KINDS = ("slogan", "poem", "story", "post", "pitch", "title", "character", "write")
"""Commands of the bot, without the slash."""

TOPICS: dict[str, tuple[str, ...]] = {
    "en": tuple(
        (
            "green tea, autumn rain, our bike repair day, a night train, sourdough bread, the school library, "
            "a city garden, wool socks, the chess club, first snow, a lost umbrella, homemade jam, the old "
            "lighthouse, morning coffee, a street market, our running group, paper kites, a jazz evening, the "
            "harbour, second-hand books, a cat on the roof, solar panels, the choir, a picnic by the river, "
            "grandmother's recipes, a rainy Sunday, the swimming pool, bees, the village bakery, a board game "
            "night"
        ).split(", ")
    ),
    "zh": tuple(
        (
            "绿茶、秋雨、社区花园、夜班火车、手工面包、学校图书馆、初雪、旧书摊、早晨的咖啡、夜市、"
            "跑步小组、纸风筝、海边的灯塔、外婆的菜谱、屋顶上的猫、合唱团、蜜蜂、雨天的周日、围棋俱乐部、河边野餐"
        ).split("、")
    ),
}
"""Everyday topics per language."""
