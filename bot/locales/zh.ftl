# 用户看到的每一句话（简体中文）。友好、简短，并且总是说明下一步怎么做。

# --- 初次见面 ---
description = 我是为聊天写作的人工智能：口号、诗、故事、公告。我写的一切都由 AI 生成，并且会标明。如果你同意，我会从你的反应中学习。
description-short = 为聊天写作的人工智能；在你同意时从反应中学习。
start =
    你好！我是为这个聊天写作的 AI。我写的所有内容都由 AI 生成，并会注明。

    { $kinds }

    用表情回应我写的内容，或者按 👍 或 👎。每天夜里我可以从这些评价中学习，为你们写得更好一点。

    我可以从你在这个聊天里的要求和评价中学习吗？在我们的私聊里，你的回答也适用于你在其他聊天里输入我的名字提出的要求和评价（内联模式）。你随时可以用 /optin 和 /optout 改变主意。你不同意，就什么都不会被使用。
help =
    { $kinds }

    👍 👎 或任何表情回应都是评价；以最后一次为准，撤回就是撤回。
    🔁 会再写一个。想修改，就按 ✏️，或回复那条消息，说出你的要求。
    /cancel：停止我正在这里为你写的内容。
    /duel 加主题：一次写两段文字，在更好的那段下面按 🏆。
    /top：本周最受欢迎的文字。
    /stats：一张图，看我在这里学到了什么。

    /optin 和 /optout：你的文字和评价可以教我吗？
    用 /report 回复一段文字：它会被隐藏，管理员会来看。
    /check：你们的表情回应我收得到吗？/check 加上一段文字：是不是我写的？
    用 /about 回复一段文字：它是谁写的。
    /settings：可以按你自己的口味写吗？
    /privacy：我保存什么、保存多久。
    /mydata：把我有的关于你的一切发给你。
    /forget：立即删除你的全部内容。

help-inline = 在别的聊天里：输入 @{ $name } slogan 绿茶，等一下，再把喜欢的那一条发出去。

# --- 群与频道 ---
joined-member =
    大家好！我是为这个聊天写作的人工智能。我写的一切都是 AI 生成的，并且会注明。试试 /slogan 绿茶，或看看 /help。

    { $reads ->
        [all] 按目前的设置，这里说的话我都会收到，但我只回答并保存对我说的：命令、提到我的消息、对我文字的回复。
       *[some] 我能看到：命令、提到我的消息、对我文字的回复。你们其他的聊天我看不到。
    }

    还缺一样：Telegram 只把表情回应告诉管理员。请把我设为管理员，不需要任何权限，这样我文字下的每个表情都是评价。在那之前，文字下的 👍 和 👎 照样算数。
joined-admin =
    大家好！我是为这个聊天写作的人工智能。我写的一切都是 AI 生成的，并且会注明。试试 /slogan 绿茶，或看看 /help。

    作为管理员，这里说的话我都会收到，但我只回答并保存对我说的：命令、提到我的消息、对我文字的回复。我也能看到你们对我文字的表情回应：每一个都是评价。什么都不缺。
joined-channel =
    我现在是频道“{ $chat }”的管理员。我不会自己在那里发东西。想要一段文字，就在频道里发一个命令，例如 /slogan 绿茶：我会发一条帖子作答，人人都可以用 👍 和 👎 评价。频道里的表情回应只有数目，没有名字。

    { $posts ->
        [yes] 什么都不缺。我不从频道学习，因为那里没有人能表示同意；想让我学习，请把我拉进频道的评论群。
       *[no] 还缺一样：发布消息的权限。请在频道设置里给我。我不从频道学习，因为那里没有人能表示同意；想让我学习，请把我拉进频道的评论群。
    }
promoted = 谢谢！作为管理员，我能看到你们对我文字的表情回应：从现在起每个表情都是评价。我仍然只回答并保存对我说的话。
demoted = 我不再是这里的管理员，所以 Telegram 不会把你们的表情回应告诉我。我文字下的 👍 和 👎 照样算数。
written-as-chat = 你在用群或频道的名义发言，我不知道你是谁：次数限制、同意和 /forget 都无从算起。请以你自己的身份发言：在输入框旁选择，或在你的管理员权限里关闭“匿名”。也可以私下写给我。

# --- 同意 ---
consent-yes = 可以，向我学习
consent-no = 不用了
optin-done = 谢谢！从现在起，你在这个聊天里的要求和评价可以教我；在我们的私聊里，也包括内联模式中的。用 /optout 可以停止。
optin-already = 你在这里已经同意过了。用 /optout 可以更改。
optout-done = 好的。从现在起，你在这个聊天里的任何内容都不会用于学习。用 /optin 可以更改。
optout-already = 我没有在这里向你学习。用 /optin 可以更改。
privacy-admins = 这个机器人的管理员
consent-question =
    只问这一次：在这个聊天里，我可以从你的要求和评价中学习吗？每个人各自回答。每天夜里，我只用同意者的内容训练，别的一概不用。没有你的同意，我只把你的文字保留一天，方便你修改，之后只留下数字。

    /privacy 有更多说明；你随时可以用 /optin 和 /optout 改变选择。
privacy =
    谁在运行我：{ $contact }。我是人工智能；我写的一切都由 AI 生成，并且会标明。

    我保存什么：你的要求、我的回答和它们得到的评价，只存放在运行我的人的机器上，不在别处。它们用你专属的密钥加密；你的名字不会被存储，评价里用化名代替你。在群里，我只保存对我说的话：命令、提及和对我消息的回复。

    保存多久：没有你的同意，回答后 24 小时；之后只留下数字。有你的同意，{ $days } 天；仍在使用的模型学过的内容会随模型保留。备份会多保留几天。

    我从什么学习：只从逐个同意的人、在这个聊天里的要求和评价中学习。提要求的人和评价的人都必须同意。在内联模式里我看不到是哪个聊天，所以以你在私聊里的回答为准。要求再写一个、作修改，或者在两段之间选择，也会告诉我一点。每次都用当前的同意从头训练模型，所以今天说不，下一个模型就不含你的内容。

    你的权利：/optin 和 /optout 随时改变选择。/mydata 把我有的关于你的一切发给你。/forget 立即删除它们和你的密钥，所有备份也一样；从你那里学过的模型会在下一次训练时退出并被销毁。

# --- 写作 ---
prompt-empty = 写什么呢？请写在命令后面，例如：/{ $command } 绿茶
prompt-too-long = 这有 { $length } 个字符。请控制在 { $limit } 个以内。
prompt-language = { $writes ->
    [zh] 这里的模型只会写中文。请用中文提出要求。
   *[en] 这里的模型只会写英文。请用英文提出要求。
}
prompts-too-many = 你一小时内已经要求了 { $limit } 次，这是这里的上限。请稍后再来。
command-unknown = 我不认识 { $command }。/help 列出我会的一切。
command-borrowed = 请亲自输入：转发的消息和来自其他机器人的消息里的命令，我都不接受。
text-only = 我只能读文字。请写下你想要的主题，或者看看 /help。
text-missing = 哪段文字？请用 /{ $command } 回复它，或写在命令后面，或发送一个文本文件并以 /{ $command } 作说明。
text-cut = 这段文字很长：{ $length } 个字符里我读了前 { $kept } 个。
file-unreadable = 我读不了这个文件。请发送纯文本文件（.txt 或 .md，UTF-8），最多 { $kilobytes } kB。
file-away = 我没能从 Telegram 取到这个文件，请再发一次。
go-on-words = 接着写下一句，不要重复。
report-usage = 哪一段？请用 /report 回复我写的那段文字。
report-thanks = 谢谢。这段文字已隐藏，也不会用于学习；管理员会来看。
report-thanks-cleared = 谢谢。管理员看过这段文字并保留了它；我已再次告诉他们。
report-too-many = 你一小时内举报了 { $limit } 段文字，已到上限。其余的请直接告诉管理员。
report-hidden = 这段文字被举报，在管理员查看之前已隐藏。
report-told =
    🚩 { $version } 写的第 #{ $generation } 段文字被举报。它已隐藏，也不会用于学习：

    { $written }
report-told-cleared =
    🚩 { $version } 写的第 #{ $generation } 段文字再次被举报。你们曾保留它，所以仍在显示：

    { $written }
report-clear = 重新显示
report-keep = 继续隐藏
report-cleared = #{ $generation } 已重新显示，也可以用于学习。
report-kept = #{ $generation } 继续隐藏。如有必要，/ban #{ $generation } 可以把提要求的人拒之门外。
check-usage = 那条消息里没有文字。写 /check 加上文字，或用 /check 回复一段文字。
check-live =
    🔎 测试一下：请用任意表情回应这条消息，再按一下按钮。这些都不算评价。

    表情回应：{ $reaction ->
        [yes] ✅ 收到了
       *[no] ⏳ 还没有
    }
    按钮：{ $press ->
        [yes] ✅ 收到了
       *[no] ⏳ 还没有人按
    }
check-live-button = 按我
check-live-pressed = 我收到了你的按键。
check-live-over = 那次测试已经结束。发送 /check 重新开始。
check-live-well = 一切正常：你们的表情回应和按键我都收得到。
check-live-press = 你的表情回应我收到了。现在请按按钮；如果按了这里却没有变化，请告诉运行我的人。
check-live-private = 如果你已经回应了：私聊里的表情回应，Telegram 常常不告诉我。我文字下的 👍 和 👎 一定算数；按一下按钮就能看到它们是否有效。
check-live-member = 如果你已经回应了：我不是这里的管理员，而 Telegram 只把表情回应告诉管理员。请把我设为管理员，不需要任何权限，然后再回应一次。
check-live-admin = 我是这里的管理员，应该能收到表情回应：请现在回应一下。如果这里没有变化，请取消我的管理员身份再重新设置；还是不行的话，请告诉运行我的人收不到表情回应。
check-live-off = 这个聊天关闭了表情回应。管理员可以在聊天设置里打开；我文字下的 👍 和 👎 一定算数。
check-live-few = 这个聊天允许的表情回应里，{ $lacks ->
        [likes] 没有一个能告诉我有人喜欢
        [dislikes] 没有一个能告诉我有人不喜欢
       *[both] 没有一个能告诉我喜欢还是不喜欢
    }。管理员可以在聊天设置里允许 👍 和 👎；我文字下的按钮一定算数。
check-yes-number = 是的，这是我写的第 #{ $generation } 段文字，或几乎一样。
check-yes = 是的，这是我写的，或几乎一样。
check-likely = 很可能：这段文字带有我的水印。别人的文字出现同样情况的可能不到百分之一。
check-no = 我不认识这段文字。如果改动很大，也可能仍是我写的。
check-no-mark = 我不认识这段文字，它也没有我的水印。如果改动很大，也可能仍是我写的。
check-short = 我不认识这段文字，而且它太短，无法查找我的水印。
about-usage = 关于哪段文字？用 /about 回复我写的文字，或单独发送 /about。
about-text = 第 #{ $generation } 段文字由人工智能写成，版本是 { $version }。
about-bot = 我是为这个聊天写作的人工智能；负责人：{ $contact }。现在写作的版本是 { $version }。
about-base = { $version } 是公开发布的基础模型，没有在这里学过任何东西。许可证：{ $licence }。
about-no-licence = 作者没有说明
about-gone = { $version } 学到的东西已不在了：它的文件已销毁，或没有保留。
about-version =
    基础模型：{ $base }（许可证：{ $licence }）
    于 { $date } 在第 { $run } 次训练中学习，来自 { $people } 人对 { $texts } 段文字的 { $ratings } 个评价；所有相关的人都已同意（同意书版本 { $consent }）。
    满意度：它的文字应比之前多讨人喜欢 { NUMBER($points, maximumFractionDigits: 1) } 个百分点（把握 { NUMBER($sure, maximumFractionDigits: 0) } %；通过 { $satisfaction } 项检查）
    质量：通过 { $quality } 项检查
    多样性：通过 { $diversity } 项检查
failed-copy = 这个没有写成：两次写出的内容都太像别人的文字。请换一种说法再试。
prompt-unsafe = 这个我不写：里面有本机器人不碰的词。请换一种说法。
failed-unsafe = 这个没有写成：两次写出的内容都不适合展示。请换一种说法再试。
failed-answer = 这次没写成：模型写到这里两次都中断了。请换个说法。
failed-engine = 这次没写成：模型暂时没有回应。请过几分钟再试。
failed-busy = 这次没写成：模型已经忙了很久。请晚些时候再试。
failed-broken = 这次没写成：模型传来的内容一再中断或无法读取。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-too-large = 这次没写成：内容超过了模型服务器一次能接收的大小。请用短一些的文字。
failed-no-model = 这次没写成：模型已经不在了。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-template = 这次没写成：模型不接受我提问的格式。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-field = 这次没写成：模型服务器不认识我要求的某一项。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-key = 这次没写成：模型服务器不让我使用。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-account = 这次没写成：模型服务器要求先付费。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-address = 这次没写成：应该由模型回答的地址上是别的东西。请告诉管理这个机器人的人；/health 和日志里有详情。
failed-policy = 这次没写成：模型服务器不写这方面的内容。请换一个要求。
failed-other = 这次没写成：模型服务器拒绝了。请换一种说法，或告诉管理这个机器人的人；日志里有详情。
failed-too-long = 这次没写成：对话对模型来说太长了。请用更短的要求重新开始。
generation-unknown = 那段文字已经不在了，我没法处理它。
refine-how = 按一个愿望，或回复那段文字，说出要改什么。
wish-shorter = ✂️ 短一点
wish-longer = 📏 长一点
wish-funnier = 😄 好玩一点
wish-serious = 🎩 严肃一点
wish-shorter-words = 短一点
wish-longer-words = 长一点
wish-funnier-words = 好玩一点
wish-serious-words = 严肃一点
wish-coming = 好的，改过的马上就来。
stats-chat = 📈 这里最近 30 天：{ $texts } 段文字，{ $ratings } 个评价。每人对一段文字只算一个评价，以最后一个为准。
stats-all = 📈 所有聊天最近 30 天：{ $texts } 段文字，{ $ratings } 个评价。每人对一段文字只算一个评价，以最后一个为准。
stats-counted = 此外还有 Telegram 只计数、不说是谁的表情回应。它们不在上面的数字里，我也不会从中学习：{ $emoji }
stats-only-counted = 还没有可画的：最近 30 天这里没有人具名评价。Telegram 只计了数的表情回应：{ $emoji }。在频道里，请用帖子下的 👍 和 👎 评价。
stats-turned-away = 🚪 上次启动以来，因 ALLOWED_IDS 和 ALLOWED_CHATS 没有列出而被拒绝的消息、按键和查询：{ $updates } 次。
stats-empty = 还没有可画的：最近 30 天这里没有人评价过文字。用 👍、👎、❤、🔥 或 🥱 回应一下吧。
chart-versions = 各版本的满意度
chart-days = 每天的评价
chart-kinds = 各类文字的满意度
chart-liked = 喜欢
chart-disliked = 不喜欢
chart-ratings-axis = 评价数
chart-satisfaction-axis = 评价中喜欢的比例，%
top = 🏆 这里最近七天最受欢迎的文字：
top-empty = 还没有可以展示的：最近七天这里没有人喜欢过哪段文字。用 👍、❤ 或 🔥 回应一下吧。
again-coming = 再来一个，马上就好。
settings =
    ⚙️ 你在这个聊天里的设置。按一下就能更改，从你的下一段文字起生效。

    语言是我回答你时用的语言；文字本身用主题的语言来写。大胆程度：我可以离最常见的用词多远。按你的口味：在可以给你看的文字里，我会参考你自己的评价来挑选，而不只是大家的；大约需要六个评价。
settings-language = 🗣 语言：{ $value ->
        [en] English
        [zh] 中文
       *[telegram] 跟随 Telegram
    }
settings-tone = 🎭 语气：{ $value ->
        [warm] 温暖
        [funny] 有趣
        [serious] 严肃
       *[usual] 平常
    }
settings-length = 📏 长度：{ $value ->
        [short] 短
        [long] 长
       *[usual] 平常
    }
settings-temperature = 🎲 大胆程度：{ $value ->
        [low] 谨慎
        [high] 大胆
       *[usual] 平常
    }
settings-footer = 🏷 文字下面：{ $value ->
        [short] 只有 AI 标识
       *[full] 标识、版本和编号
    }
settings-own-taste = 💛 多按我自己的口味：{ $value ->
        [on] 开 ✅
       *[off] 关
    }
settings-changed = 好的。
tone-warm-words = 语气要温暖。
tone-funny-words = 要有趣。
tone-serious-words = 要严肃。
length-short-words = 写短一点。
length-long-words = 写长一点。
settings-own-taste-on = 好的。你评价得越多，我就越了解你的口味。
settings-own-taste-off = 好的。我又按大家的口味写了。
settings-need-consent = 这需要我在这个聊天里向你学习。请先发 /optin，再按一次。
settings-no-taste = 这里做不到：每次只写一段文字（BEST_OF=1），没有可挑选的。
settings-not-yours = 这是别人的设置。/settings 会显示你自己的。
duel-usage = 写什么呢？请把主题写在命令后面，比如：/duel 绿茶，或者 /duel slogan 绿茶
duel-better = 🏆 这段更好
duel-thanks = 谢谢，你的选择已计入。/top 和 /stats 只看 👍 和 👎。
duel-thanks-no-consent = 谢谢。发送 /optin 之后，我也可以从中学习。
duel-one-only = 另一段文字不在，暂时没有可选的。
why-boring = 无聊
why-off-topic = 跑题
why-too-long = 太长
why-wrong = 不对
why-thanks = 谢谢，这很有帮助。
why-not-yours = 这是给不喜欢这段文字的人的。如果你也不喜欢，请先按 👎。
rating-thanks = 谢谢，已计入。
rating-thanks-no-consent = 谢谢，已计数。用 /optin 我还可以从中学习。
rating-thanks-channel = 谢谢，已计入。
rating-thanks-inline = 谢谢，已计为一个数字。私聊对我说 /optin，我还可以从中学习。
rating-taken-back = 已撤回。
rating-too-many = 你一小时内按了 { $limit } 次，已到上限，之前的评价保持不变。请过一分钟再试。
error = 我这边出了点问题，已经记下来了。请再试一次。

# --- 在别的聊天里（内联模式）；每句都只占窄窄的一行 ---
inline-topic = 写上类型和主题：slogan 绿茶
inline-writing = 还在写，过一会儿加个空格再看
inline-too-long = 太长了，请写短一点
inline-unsafe = 这个我不写，换个说法吧
inline-too-many = 这一小时够多了，晚点再来吧
inline-queue = 现在人很多，过一分钟再试吧
inline-engine = 暂时写不了，过一分钟再试吧
inline-failed = 没写成，换个说法试试
inline-not-allowed = 只为运营者允许的人服务
inline-banned = 管理员已禁止你使用，请联系他们

# --- 停止、确认、被拒绝 ---
stopped = ⏹ 已停止。随时可以再问我。
stop-not-yours = 只有提出要求的人可以停止它。
stop-too-late = 那段文字已经写完了。
cancel-done = { $texts ->
       *[other] 已停止，共 { $texts } 段。
    }
cancel-nothing = 我现在没有在这里为你写东西。
orphan-removed = 那是一条残留消息，我已经删掉了。你的文字会出现在另一条消息里。
button-old = 这个按钮属于一条旧消息。请重新写给我，或者看看 /help。
queue-ahead = ⏳ { $ahead ->
        [0] 下一个就是你。
       *[other] 前面还有 { $ahead } 篇。
    }轮到你时，就会写在这里。
queue-yours = 你已经有 { $texts } 篇正在写，现在问的人很多。请等其中几篇写好再来。
queue-full = 现在问的人非常多。请过几分钟再试。
not-allowed = 我只为运营者允许的人和群组服务；想加入的话，请把你的编号告诉他们：{ $number }
not-allowed-chat = 我只为运营者允许的人和群组服务；想让这个聊天加入的话，请把它的编号告诉他们：{ $number }
not-allowed-leaving = 我只为运营者允许的人和群组服务，所以我要离开“{ $chat }”；想让我回来的话，请把它的编号告诉他们：{ $number }
banned = 管理员已禁止你使用这个机器人。如果你认为弄错了，请联系他们。
confirm-yes = 是的，执行
confirm-no = 不，保持原样
confirm-expired = 这个问题太旧了，或者已经回答过。请再发一次命令。
confirm-not-yours = 只有被问到的人可以回答。
confirm-heard = 请稍等。
confirm-dropped = 保持原样。
forget-confirm = 这会立即并永久删除你在所有聊天里的要求、我为你写的文字和你的评价。确定吗？
mydata-done = 这是我有的关于你的一切，JSON 格式。/forget 可以删除它们。
mydata-private = 这只给你一个人看：请在私聊里给我发 /mydata。
forget-done = 好了。你的内容一点也没有留下：已删除 { $texts } 段文字和 { $ratings } 个评价。下一次训练将不含它们；从中学习过的模型届时停用，没有训练时则在几周后停用，并被销毁。

# --- 管理员 ---
admin-only = 只有这个机器人的管理员可以这样做。
admin-private = 请在我们的私聊里发给我。
retrain-begun = 第 { $run } 次训练开始了。其间我照常回答。
retrain-begun-in-vain = 训练 { $run } 开始了，但 ENGINE_URL 那里的服务器不加载适配器：无论学到什么，写文字的仍是基础模型。/retrain cancel 可以停止。我照样会按大家的评价从几段文字里挑选。
retrain-running = 已有一次训练在进行。/retrain status 查看进度，/retrain cancel 结束它。
retrain-none = 没有正在进行的训练。/retrain 开始一次。
retrain-cancelling = 正在取消训练。当前版本继续服务。
retrain-usage = 请写 /retrain、/retrain status 或 /retrain cancel。
retrain-progress =
    第 { $run } 次训练：{ $stage }
    { $bar } { $percent } %{ $loss }{ $eta }
retrain-loss = {" "}· 损失 { NUMBER($loss, minimumFractionDigits: 3, maximumFractionDigits: 3) }
retrain-eta = {" "}· 大约还要 { $seconds } 秒
stage-starting = 正在启动
stage-loading = 正在加载模型
stage-reference = 正在读取评价
stage-training = 正在学习
stage-judging = 正在比较新旧样本
stage-report = 正在写报告
models =
    版本，从新到旧：
    { $list }

    /promote 名称 让一个版本服务，/rollback 回到之前。
version-line = { $mark } { $version } · { $state } · { $date }
state-champion = 服务中
state-canary = 试用中
state-candidate = 等待中；/promote { $version } 让它服务
state-retired = 休息中
state-tainted = 它学过的内容来自后来要求遗忘或被拒之门外的人；正在销毁
state-tainted-serves = 服务到下一次训练为止：它学过的内容来自后来要求遗忘或被拒之门外的人
state-destroyed = 已销毁
version-unknown = 这个模型没有“{ $version }”这个版本。/models 列出所有版本。
version-tainted = { $version } 学过的内容来自后来要求遗忘或被拒之门外的人，所以不能再服务。/models 列出其他版本。
version-unusable = 版本 { $version } 无法加载；{ $serving } 继续服务。日志里有原因。
approve-nothing = 没有等待批准的版本。/models 列出所有版本。
promote-usage = 哪一个？请写 /promote 和名称，例如 /promote v3。/models 列出所有版本。
promote-done = 从现在起由 { $version } 服务。
digest =
    ☀️ 早上好！昨晚的学习结果如下。

    { $verdict }
digest-example =
    “{ $prompt }”
    之前：{ $before }
    现在：{ $after }
digest-undo = ↩️ 撤回 { $version }
undo-late = { $version } 已经不在服务，没有可以撤回的。现在由 { $serving } 回答；/models 会列出所有版本。
rollback-done = 好了：现在由 { $version } 服务。
trial-numbers = { $ratings ->
        [0] 还没有人评价它的文字
       *[other] 它的文字得到 { $ratings } 个评价，其中 { $likes } 个喜欢（{ NUMBER($percent, maximumFractionDigits: 0) } %）；之前版本的文字得到 { $rratings } 个评价，其中 { $rlikes } 个喜欢（{ NUMBER($rpercent, maximumFractionDigits: 0) } %）
    }
trial-canary = 🐤 { $version } 正在与 { $reference } 并行试用：{ $live }。它更好的可能性为 { NUMBER($better, maximumFractionDigits: 0) } %；大约再有 { $togo } 个评价即可决定。/promote 或 /rollback 可立即决定。
trial-watch = 👀 正在观察 { $version }：{ $live }。它比 { $reference } 更好的可能性为 { NUMBER($better, maximumFractionDigits: 0) } %。如果评价显示它更差，{ $reference } 会自动恢复服务。
trial-promoted = ✅ 大家的评价让 { $version } 转正：{ $live }。它更好的可能性为 { NUMBER($better, maximumFractionDigits: 0) } %，从现在起由它回答。
trial-rolled-back = ↩️ 大家的评价让 { $version } 自动回退：{ $live }。同样好的版本表现得这么差，50 次里不到一次。现在由 { $serves } 回答。
trial-inconclusive = ↩️ { $version } 的试用已结束，没有证据表明它更好：{ $live }。{ $serves } 继续服务。
trial-kept = ✅ { $version } 经过观察，继续服务：{ $live }。
rollback-nothing = 没有可以回到的版本：{ $version } 是第一个服务的版本。

# --- 运维 ---
rollback-confirm = 让 { $leaves } 停止服务，改由 { $comes } 回答吗？
backup-done = 备份 { $name } 已完成并通过验证。
backup-failed = 备份没有做成；日志里有原因。请腾出磁盘空间，再试 /backup。
audit =
    做过的事，从新到旧（UTC · 谁 · 什么）：
    { $list }
audit-empty = 还没有做过什么。
ban-usage = 要禁止谁？请写 /ban 和文字下面的编号，例如 /ban #12，或者一个数字 Telegram id。
ban-confirm = 禁止 { $person }，并在所有学习中排除其文字和评价吗？
ban-done = 已禁止 { $person }。用 /unban 加同样的编号可以恢复。
ban-already = 此人已被禁止。
unban-done = 已恢复 { $person }。
unban-nobody = 此人没有被禁止。
health =
    { $checks }

    版本：{ $version } · 试用：{ $canary }
    等待中的要求：{ $waiting } · 已放弃：{ $dead }
    上次训练：{ $trained }
    口味：{ $taste }
    最新备份：{ $backup }
    剩余磁盘：{ NUMBER($free, maximumFractionDigits: 1) } GiB · 已同意的人：{ $people }
health-taste = { $texts } 段评价过的文字 · { $people } 人有自己的口味 · AUROC { $auroc }
health-disk = 磁盘
health-updates = 上次收到 Telegram 的消息
health-queue = 要求
health-engine = 引擎
alarm-dead-letter = ⚠️ 我不得不放弃一条更新（{ $update }，{ $error }），可能有人收不到回答。/health 会统计这类情况；日志里有更多说明。
alarm-unreadable-backup = ⚠️ 备份 { $name } 已损坏，我无法在其中删除被遗忘的人。请删除它。
alarm-chat-moved = ⚠️ ALLOWED_CHATS 中的群组 { $before } 已升级为超级群组，新编号是 { $now }。请把它写进 ALLOWED_CHATS，否则下次启动后我会离开那里。
alarm-backup = ⚠️ 今晚的备份没有做成；日志里有原因。请腾出磁盘空间，然后 /backup。

# --- 结论 ---
verdict-left-out = 这台机器的时间不够做完整晚的学习：省去了什么，见这次训练的报告。
verdict-promoted = ✅ 第 { $run } 次训练：已晋升。从现在起由 { $version } 回答。{ $reason }
verdict-canary = 🐤 第 { $run } 次训练：灰度试用。{ $why ->
        [approval] { $version } 已备好。
       *[other] { $version } 正在试用：它写 { NUMBER($share, maximumFractionDigits: 0) } % 的文字，由大家的评价决定去留。
    }{ $reason }
verdict-rejected = ↩️ 第 { $run } 次训练：已拒绝。{ $version } 继续服务。{ $reason }
verdict-skipped = ⏭ 第 { $run } 次训练：已跳过。{ $version } 继续服务。{ $reason }
verdict-failed = ⚠️ 第 { $run } 次训练：失败。{ $version } 继续服务。{ $reason }
reason-better = 在重放的要求上，它的文字预计更受欢迎 { NUMBER($gain_points, maximumFractionDigits: 1) } 个百分点（{ $ratings } 个评价，{ NUMBER($sure, maximumFractionDigits: 0) } % 把握）。
reason-approval = 它凭 { $ratings } 个评价通过了检验，等你决定：/approve { $candidate }
reason-not_better = 新的文字没有明显更好（{ NUMBER($sure, maximumFractionDigits: 0) } % 把握，{ $ratings } 个评价）。更多评价会有帮助。
reason-no_signal = 这 { $ratings } 个评价还不够一致，学不到东西。更多评价会有帮助。
reason-kl = 候选版本离基础模型太远了。
reason-fluency = 候选版本写得不够通顺。
reason-diversity = 候选版本更爱重复自己。
reason-length = 候选版本的文字短了或长了很多。
reason-segment = 有一部分提要求的人会更不喜欢新的文字，不管其他人怎么说。
reason-ratings = 已有的评价不支持新的文字。
reason-hacks = 候选版本在讨要表情、恭维、大喊大叫，或总用同一句口头禅。
reason-golden = 候选版本没有做好每个版本都必须做好的要求。
reason-safety = 安全过滤器在它的文字里发现了更多问题。
reason-bias = 与基础模型相比，它对某一群人写得比另一群人更差。
reason-memorised = 它记住了埋下的测试秘密，因此也可能泄露人们的文字。
reason-overlap = 候选版本逐字重复了评价过的文字。
reason-nan = 训练得出了没有意义的数字；什么都没有改变。
reason-too_few_ratings = 目前有 { $have } 个获得同意的评价；训练需要 { $need } 个。提要求的人和评价的人都发过 /optin，一个评价才算数。
reason-too_few = 获得同意、有评价的不同文字还太少。
reason-one_sided = 几乎所有评价都一样，没有可比较的。多几个另一种评价会有帮助。
reason-one_rater = 所有评价都来自一个人。再有一个人会有帮助。
reason-cancelled = 训练被取消了。
reason-interrupted = 训练被中断了两次。/retrain 再试一次。
reason-trainer = 训练中断了；日志里有原因。/retrain 再试一次。
reason-stalled = 训练太久没有进展，已被结束。/retrain 再试一次；如果再次发生，请换小一点的模型。
reason-engine = 引擎没有接受新版本；日志里有原因。/retrain 再试一次。
reason-disk = 磁盘无法写入；日志里有原因。腾出空间，然后 /retrain。
reason-memory = 内存不够。释放一些，或换小一点的模型，然后 /retrain。
reason-live_better = 大家的评价作出了决定：{ $live }。
reason-live_worse = 大家的评价显示它更差：{ $live }。
reason-live_unclear = 大家的评价没有证明它更好：{ $live }。
reason-forgotten = 它学过的某个人在最后一刻要求遗忘，或被拒之门外。/retrain 会在没有此人的情况下重新学习。
reason-unexpected = 发生了意料之外的事；日志里有说明。/retrain 再试一次。

# --- 命令菜单 ---
menu-help = 我会做什么
menu-duel = 一次两段文字，由你来选：/duel 绿茶
menu-top = 本周最受欢迎的文字
menu-stats = 一张图：我学到了什么
menu-cancel = 停止正在为我写的内容
menu-optin = 允许我在这里向你学习
menu-optout = 不允许我在这里向你学习
menu-settings = 我在这个聊天里为你做什么
menu-privacy = 我保存什么，以及你的选择
menu-report = 举报一段文字（回复它）
menu-check = 表情回应收得到吗？或：这段文字是我写的吗？
menu-about = 谁在写，从谁那里学的
menu-mydata = 把关于我的一切发给我
menu-forget = 删除我的全部内容
menu-retrain = 管理员：现在就从评价中学习
menu-models = 管理员：各个版本，以及谁在服务
menu-promote = 管理员：让一个版本服务
menu-approve = 管理员：批准等待中的版本
menu-rollback = 管理员：回到之前的版本
menu-health = 管理员：一切都好吗？
menu-backup = 管理员：现在做一个备份
menu-audit = 管理员：谁做了什么
menu-ban = 管理员：把一个人拒之门外
menu-unban = 管理员：让一个人重新进来
