# Every sentence a person can see, in English. Friendly, short, and always saying what to do next.

# --- Meeting the bot ---
description = I am an AI that writes for chats: slogans, poems, stories, posts. Everything I write is AI-generated and says so. I learn from your reactions, if you agree.
description-short = An AI that writes for your chat and learns from its reactions, if you agree.
start =
    Hello! I am an AI that writes for this chat. Everything I write is AI-generated and says so.

    { $kinds }

    React to what I write with an emoji, or press 👍 or 👎. Every night I can learn from these ratings and write a little better for you.

    May I learn from what you ask and how you rate, in this chat? In our private chat your answer also counts for what you ask and rate in other chats where you call me by typing my name (inline mode). You can change your mind at any time with /optin and /optout. Nothing is used unless you say yes.
help =
    { $kinds }

    👍 👎 or any reaction rates a text; the last one counts, and taking it back takes it back.
    🔁 writes another one. To change a text, press ✏️, or reply to it and say what you want.
    /cancel stops what I am writing for you here.
    /duel and a topic: two texts at once; press 🏆 under the better one.
    /top: the best-loved texts of the week.
    /stats: a picture of what I have learned here.

    /optin and /optout: may your texts and ratings teach me here?
    /report, as a reply to a text: it is hidden, and the admins look at it.
    /check: do your reactions reach me? /check and a text: did I write it?
    /about, as a reply to a text: what wrote it.
    /settings: may I write to your own taste?
    /privacy: what I keep, and for how long.
    /mydata: sends you everything I have of you.
    /forget: erases everything of yours, at once.

help-inline = In any other chat: type @{ $name } slogan green tea, wait a moment, and send what you like of what I offer.

# --- Groups and channels ---
joined-member =
    Hello everyone! I am an AI that writes for this chat. Everything I write is AI-generated and says so. Try /slogan green tea, or see /help.

    { $reads ->
        [all] Telegram shows me everything that is said here, but I answer and keep only what is meant for me: commands, mentions of me and replies to my texts.
       *[some] What I see: commands, mentions of me and replies to my texts. I see nothing else of what you write.
    }

    What is missing: Telegram shows reactions to administrators only. Make me one, without any rights, and every emoji under my texts is a rating. Until then 👍 and 👎 under them count.
joined-admin =
    Hello everyone! I am an AI that writes for this chat. Everything I write is AI-generated and says so. Try /slogan green tea, or see /help.

    As an administrator I can see everything that is said here, but I answer and keep only what is meant for me: commands, mentions of me and replies to my texts. I also see your reactions to my texts: each is a rating. Nothing is missing.
joined-channel =
    I am an administrator of the channel “{ $chat }” now. I write nothing there by myself. To get a text, post a command in it, for example /slogan green tea: I answer with a post, which everybody can rate by 👍 and 👎. Reactions in channels are only counted, without names.

    { $posts ->
        [yes] Nothing is missing. I learn nothing from a channel, because nobody there can agree to it; to let me learn, bring me into the group of its comments.
       *[no] What is missing: the right to post messages. Please give it to me in the channel's settings. I learn nothing from a channel, because nobody there can agree to it; to let me learn, bring me into the group of its comments.
    }
promoted = Thank you! As an administrator I see your reactions to my texts: from now on every emoji is a rating. I still answer and keep only what is meant for me.
demoted = I am no longer an administrator here, so Telegram does not show me your reactions. 👍 and 👎 under my texts still count.
written-as-chat = You are writing in the name of a group or channel, so I cannot tell who you are, and limits, consent and /forget would belong to nobody. Please write as yourself: choose that next to the input field, or turn off “Remain anonymous” in your rights as an admin. Or write to me in private.

# --- Consent ---
consent-yes = Yes, learn from mine
consent-no = No, thanks
optin-done = Thank you! From now on your prompts and ratings in this chat may teach me; in our private chat those of inline mode, too. /optout ends that.
optin-already = You have already said yes here. /optout changes that.
optout-done = Done. From now on nothing of yours in this chat is used for learning. /optin changes that.
optout-already = I do not learn from you here. /optin changes that.
privacy-admins = the admins of this bot
consent-question =
    One question, and only once: may I learn from what you ask and how you rate, in this chat? Each of you answers for yourself. Every night I train on the texts of those who say yes, and on nothing else. Without a yes I keep your texts for a day, so that you can refine them, and then only numbers.

    /privacy says more; /optin and /optout change your answer at any time.
privacy =
    Who runs me: { $contact }. I am an AI; everything I write is AI-generated and says so.

    What I keep: your prompts, my answers and the ratings they get, on the machine of the people who run me, and nowhere else. They are encrypted with a key of your own; your name is not stored, and in ratings a pseudonym stands for you. In groups I keep only what is addressed to me: commands, mentions, and replies to my messages.

    For how long: without your yes, 24 hours after my answer; then only numbers stay. With it, { $days } days, and longer only what a model that is still here has learned from. Backups are kept a few days longer.

    What I learn from: only prompts and ratings of people who have said yes, in this chat, one by one. Both the one who asked and the one who rated must have said yes. In inline mode, where I cannot tell the chat, your answer in our private chat counts. Asking for another text or for a change, and choosing one of two, tell me a little too. The model is trained again from the current yeses each time, so a no today means that the next model is made without you.

    Your rights: /optin and /optout change your answer at any time. /mydata sends you everything I have of you. /forget erases it, with its key, at once and in all backups; a model that has learned from you leaves at the next training and is destroyed.

# --- Writing ---
prompt-empty = What about? Write it after the command, like this: /{ $command } green tea
prompt-too-long = That is { $length } characters. Please say it in at most { $limit }.
prompt-language = { $writes ->
    [zh] The model here writes Chinese only. Please ask in Chinese.
   *[en] The model here writes English only. Please ask in English.
}
prompts-too-many = You have asked { $limit } times within an hour, which is the limit here. Please come back a little later.
command-unknown = I do not know { $command }. /help lists what I can do.
command-borrowed = Please type that yourself: I take no commands from messages that are forwarded or come from another bot.
text-only = I can read text only. Write me what the text should be about, or see /help.
text-missing = Which text? Reply to it with /{ $command }, write it after the command, or send a text file with /{ $command } as its caption.
text-cut = That text is long: I have read its first { $kept } of { $length } characters.
file-unreadable = I cannot read that file. Send a plain text file, .txt or .md in UTF-8, of at most { $kilobytes } kB.
file-away = I could not fetch that file from Telegram. Please send it once more.
go-on-words = Go on with the next sentence. Do not repeat anything.
report-usage = Which one? Reply to a text of mine with /report.
report-thanks = Thank you. The text is hidden and nothing learns from it; the admins look at it.
report-thanks-cleared = Thank you. The admins have looked at this text before and left it; they are told again.
report-too-many = You have reported { $limit } texts within an hour, which is the limit. Please write to the admins about the others.
report-hidden = This text was reported and is hidden until the admins have looked at it.
report-told =
    🚩 Text #{ $generation } by { $version } was reported. It is hidden, and nothing learns from it:

    { $written }
report-told-cleared =
    🚩 Text #{ $generation } by { $version } was reported again. You have cleared it before, so it is still shown:

    { $written }
report-clear = Show it again
report-keep = Keep it hidden
report-cleared = #{ $generation } is shown again, and may be learned from.
report-kept = #{ $generation } stays hidden. /ban #{ $generation } bans the person who asked for it, if needed.
check-usage = There is no text in that message. Write /check and the text, or reply to a text with /check.
check-live =
    🔎 A test: react to this message with any emoji, and press the button. None of it is a rating.

    Reactions: { $reaction ->
        [yes] ✅ arrived
       *[no] ⏳ none yet
    }
    Buttons: { $press ->
        [yes] ✅ arrived
       *[no] ⏳ not pressed yet
    }
check-live-button = Press me
check-live-pressed = Your press has reached me.
check-live-over = That test is over. Send /check for a new one.
check-live-well = All is well: your reactions and the buttons reach me.
check-live-press = Your reaction has reached me. Now press the button; if you have done so and nothing happens here, please tell the people who run me.
check-live-private = If you have reacted: Telegram often keeps the reactions in private chats to itself. 👍 and 👎 under my texts count in any case; press the button to see that they work.
check-live-member = If you have reacted: I am not an administrator here, and Telegram shows reactions to administrators only. Make me one, without any rights, and react again.
check-live-admin = I am an administrator here, so reactions should reach me: please react now. If that does not show here, remove me as administrator and make me one again; if it still does not, tell the people who run me that reactions are missing.
check-live-off = Reactions are turned off in this chat. An admin can allow them in the chat's settings; 👍 and 👎 under my texts count in any case.
check-live-few = Of the reactions that this chat allows, { $lacks ->
        [likes] none tells me that a text is liked
        [dislikes] none tells me that a text is disliked
       *[both] none tells me whether a text is liked
    }. An admin can allow 👍 and 👎 in the chat's settings; the buttons under my texts count in any case.
check-yes-number = Yes, that is text #{ $generation } of mine, or nearly.
check-yes = Yes, I wrote that, or nearly that.
check-likely = Probably: the text carries my watermark. A text of somebody else shows as much in less than one case of a hundred.
check-no = I do not know this text. If it was changed a lot, I may have written it all the same.
check-no-mark = I do not know this text, and it does not carry my watermark. If it was changed a lot, I may have written it all the same.
check-short = I do not know this text, and it is too short to look for my watermark in it.
about-usage = About which text? Reply to a text of mine with /about, or send /about alone.
about-text = Text #{ $generation } was written by an AI, version { $version } of my model.
about-bot = I am an AI that writes for this chat; { $contact } is responsible for me. Version { $version } of my model writes now.
about-base = { $version } is a base model as it was published, without anything learned here. Its licence: { $licence }.
about-no-licence = not stated by its makers
about-gone = What { $version } had learned is gone: its files were deleted or not kept.
about-version =
    Base model: { $base } (licence: { $licence })
    Learned in run { $run } on { $date }, from { $ratings } ratings by { $people } people on { $texts } texts; everyone concerned had agreed (consent text { $consent }).
    Satisfaction: its texts should please { NUMBER($points, maximumFractionDigits: 1) } points more than those before ({ NUMBER($sure, maximumFractionDigits: 0) } % sure; { $satisfaction } checks kept)
    Quality: { $quality } checks kept
    Diversity: { $diversity } checks kept
failed-copy = I could not write this: what came out was too close to somebody else's text, twice. Please ask in other words.
prompt-unsafe = I do not write about that: it contains a word that this bot does not write about. Please use other words.
failed-unsafe = I could not write this: what came out was not fit to show, twice. Please ask in other words.
failed-answer = I could not write this: the model broke down over it, twice. Please ask in other words.
failed-engine = I could not write this: the model does not answer at the moment. Please try again in a few minutes.
failed-busy = I could not write this: the model has had too much to do for a long time. Please try again later.
failed-broken = I could not write this: what comes from the model is broken off or cannot be read, again and again. Please tell whoever runs this bot; /health and the log say more.
failed-too-large = I could not write this: that is more than the model's server takes at once. Please ask with a shorter text.
failed-no-model = I could not write this: the model is not there any more. Please tell whoever runs this bot; /health and the log say more.
failed-template = I could not write this: the model does not take the form in which I ask. Please tell whoever runs this bot; /health and the log say more.
failed-field = I could not write this: the model's server does not know something that I ask for. Please tell whoever runs this bot; /health and the log say more.
failed-key = I could not write this: the model's server does not let me in. Please tell whoever runs this bot; /health and the log say more.
failed-account = I could not write this: the model's server wants to be paid first. Please tell whoever runs this bot; /health and the log say more.
failed-address = I could not write this: where the model should answer, something else does. Please tell whoever runs this bot; /health and the log say more.
failed-policy = I could not write this: the model's server does not write about that. Please ask for something else.
failed-other = I could not write this: the model's server refuses it. Please ask in other words, or tell whoever runs this bot; the log says more.
failed-too-long = I could not write this: the conversation has become too long for the model. Please start again with a shorter request.
generation-unknown = That text is no longer here, so I cannot do that with it.
refine-how = Press a button, or reply to the text and say what to change.
wish-shorter = ✂️ Shorter
wish-longer = 📏 Longer
wish-funnier = 😄 Funnier
wish-serious = 🎩 More serious
wish-shorter-words = make it shorter
wish-longer-words = make it longer
wish-funnier-words = funnier
wish-serious-words = more serious
wish-coming = Gladly. The changed one is coming.
stats-chat = 📈 The last 30 days here: { $texts ->
        [one] one text
       *[other] { $texts } texts
    }, { $ratings ->
        [one] one rating
       *[other] { $ratings } ratings
    }. Each person has one rating per text; the last one counts.
stats-all = 📈 The last 30 days in all chats: { $texts ->
        [one] one text
       *[other] { $texts } texts
    }, { $ratings ->
        [one] one rating
       *[other] { $ratings } ratings
    }. Each person has one rating per text; the last one counts.
stats-counted = Telegram has also counted reactions without saying whose they are. They are in no other number, and I learn nothing from them: { $emoji }
stats-only-counted = Nothing to draw yet: nobody has rated a text here by name in the last 30 days. Reactions that Telegram has only counted: { $emoji }. In a channel, 👍 and 👎 under the posts are ratings.
stats-turned-away = 🚪 Turned away since the last start, for ALLOWED_IDS and ALLOWED_CHATS do not name them: { $updates ->
        [one] one message, press or query.
       *[other] { $updates } messages, presses and queries.
    }
stats-empty = Nothing to draw yet: nobody has rated a text here in the last 30 days. React to some with 👍, 👎, ❤, 🔥 or 🥱.
chart-versions = Satisfaction by version
chart-days = Ratings by day
chart-kinds = Satisfaction by kind
chart-liked = liked
chart-disliked = not liked
chart-ratings-axis = ratings
chart-satisfaction-axis = likes among ratings, %
top = 🏆 The best-loved of the last seven days here:
top-empty = Nothing to show yet: nobody has liked a text here in the last seven days. React to some with 👍, ❤ or 🔥.
again-coming = Another one is coming.
settings =
    ⚙️ Your settings in this chat. Press one to change it; it applies from your next text on.

    The language is the one I answer you in; texts are in the language of their topic. How daring: how far from the likeliest words I may go. To your own taste: of the texts that I could show you, I pick by your ratings, and not only by everybody's; it takes about six ratings.
settings-language = 🗣 Language: { $value ->
        [en] English
        [zh] 中文
       *[telegram] as in Telegram
    }
settings-tone = 🎭 Tone: { $value ->
        [warm] warm
        [funny] funny
        [serious] serious
       *[usual] as usual
    }
settings-length = 📏 Length: { $value ->
        [short] short
        [long] long
       *[usual] as usual
    }
settings-temperature = 🎲 How daring: { $value ->
        [low] careful
        [high] daring
       *[usual] as usual
    }
settings-footer = 🏷 Under a text: { $value ->
        [short] the AI label only
       *[full] label, version and number
    }
settings-own-taste = 💛 More to my own taste: { $value ->
        [on] on ✅
       *[off] off
    }
settings-changed = Done.
tone-warm-words = Write warmly.
tone-funny-words = Be funny.
tone-serious-words = Be serious.
length-short-words = Keep it short.
length-long-words = Make it long.
settings-own-taste-on = Gladly. The more you rate, the better I know it.
settings-own-taste-off = Done. I write to everybody's taste again.
settings-need-consent = For that I have to learn from you in this chat. Send /optin first, then press again.
settings-no-taste = I cannot do that here: one text is written for each prompt (BEST_OF=1), so there is nothing to choose from.
settings-not-yours = These are somebody else's settings. /settings shows you yours.
duel-usage = What about? Write it after the command, like this: /duel green tea, or /duel slogan green tea
duel-better = 🏆 This one is better
duel-thanks = Thank you, your choice counts. /top and /stats go by 👍 and 👎.
duel-thanks-no-consent = Thank you. With /optin I may also learn from it.
duel-one-only = The other text is not there, so there is nothing to choose yet.
why-boring = boring
why-off-topic = off topic
why-too-long = too long
why-wrong = wrong
why-thanks = Thank you, that helps.
why-not-yours = That is for those who dislike the text. Press 👎 first if you do.
rating-thanks = Thank you, that counts.
rating-thanks-no-consent = Thank you, that counts as a number. With /optin I may also learn from it.
rating-thanks-channel = Thank you, that counts.
rating-thanks-inline = Thank you, that counts as a number. Send me /optin in private, and I may also learn from it.
rating-taken-back = Taken back.
rating-too-many = You have pressed { $limit } times within an hour, which is the limit: what stood before stands. Please try again in a minute.
error = Something went wrong on my side, and I have noted it. Please try again.

# --- In other chats (inline mode); each stands in one narrow line ---
inline-topic = Type a kind and a topic: slogan green tea
inline-writing = Still writing. Add a space in a moment
inline-too-long = Too long. Say it in fewer words
inline-unsafe = Not about that. Try other words
inline-too-many = Enough for this hour. Try again later
inline-queue = Many are asking. Try again in a minute
inline-engine = I cannot write now. Try again in a minute
inline-failed = That did not work. Try other words
inline-not-allowed = Only for people whom my operator has let in
inline-banned = The admins have banned you. Ask them

# --- Stopping, confirming, being shut out ---
stopped = ⏹ Stopped. Ask again whenever you like.
stop-not-yours = Only the person who asked can stop that.
stop-too-late = That text is already finished.
cancel-done = { $texts ->
        [one] Stopped.
       *[other] All { $texts } are stopped.
    }
cancel-nothing = I am not writing anything for you here at the moment.
orphan-removed = That was a leftover; I have removed it. Your text comes in another message.
button-old = That button is from an older message. Write to me again, or see /help.
queue-ahead = ⏳ { $ahead ->
        [0] You are next.
        [one] One text is before yours.
       *[other] { $ahead } texts are before yours.
    } It will be written here as soon as it is your turn.
queue-yours = { $texts ->
        [one] A text of yours is
       *[other] { $texts } texts of yours are
    } already coming, and many people are asking. Please wait until you have received some.
queue-full = Very many people are asking at the moment. Please try again in a few minutes.
not-allowed = I am here only for the people and groups that my operator has let in; to be one of them, tell them your number: { $number }
not-allowed-chat = I am here only for the people and groups that my operator has let in; for this chat to be one of them, tell them its number: { $number }
not-allowed-leaving = I am here only for the people and groups that my operator has let in, so I am leaving “{ $chat }”; if I am to come back, tell them its number: { $number }
banned = The admins of this bot have banned you. Please write to them if you think that is a mistake.
confirm-yes = Yes, do it
confirm-no = No, leave it
confirm-expired = That question is too old or has been answered. Send the command again.
confirm-not-yours = Only the person who was asked can answer that.
confirm-heard = One moment.
confirm-dropped = Left as it was.
forget-confirm = This erases your prompts, the texts I wrote for you and your ratings, in every chat, at once and for good. Shall I?
mydata-done = Everything I have of you, as JSON. /forget erases it.
mydata-private = That is for your eyes only: please send me /mydata in our private chat.
forget-done = Done. Nothing of yours is kept: { $texts } texts and { $ratings } ratings are erased. The next training does without them; a model that has learned from them is taken out of service then, or after some weeks if no training comes, and is destroyed.

# --- For admins ---
admin-only = Only the admins of this bot may do that.
admin-private = Please send me that in our private chat.
retrain-begun = Run { $run } has begun. I keep answering in the meantime.
retrain-begun-in-vain = Run { $run } has begun, but the server at ENGINE_URL loads no adapters: whatever it learns, the base keeps writing. /retrain cancel ends it. I choose among several texts by your ratings all the same.
retrain-running = A run is already in progress. /retrain status shows how far it is, /retrain cancel ends it.
retrain-none = No run is in progress. /retrain starts one.
retrain-cancelling = The run is being cancelled. The current version keeps serving.
retrain-usage = Write /retrain, /retrain status or /retrain cancel.
retrain-progress =
    Run { $run }: { $stage }
    { $bar } { $percent } %{ $loss }{ $eta }
retrain-loss = {" "}· loss { NUMBER($loss, minimumFractionDigits: 3, maximumFractionDigits: 3) }
retrain-eta = {" "}· about { $seconds } s left
stage-starting = starting
stage-loading = loading the model
stage-reference = reading the ratings
stage-training = learning
stage-judging = comparing samples of old and new
stage-report = writing the report
models =
    Versions, newest first:
    { $list }

    /promote NAME lets a version serve, /rollback goes back.
version-line = { $mark } { $version } · { $state } · { $date }
state-champion = serves
state-canary = on trial
state-candidate = waiting; /promote { $version } lets it serve
state-retired = retired
state-tainted = has learned from somebody who has since been forgotten or banned; it is being destroyed
state-tainted-serves = serves until the next run, then it is removed: it has learned from somebody who has since been forgotten or banned
state-destroyed = destroyed
version-unknown = There is no version “{ $version }” of this model. /models lists them.
version-tainted = { $version } has learned from somebody who has since been forgotten or banned, so it may no longer serve. /models lists the others.
version-unusable = Version { $version } cannot be loaded; { $serving } keeps serving. The log says why.
approve-nothing = No version is waiting to be approved. /models lists them all.
promote-usage = Which one? Write /promote and the name, for example /promote v3. /models lists them.
promote-done = { $version } serves from now on.
digest =
    ☀️ Good morning! This is what happened overnight.

    { $verdict }
digest-example =
    “{ $prompt }”
    Before: { $before }
    Now: { $after }
digest-undo = ↩️ Take { $version } back
undo-late = { $version } no longer serves, so there is nothing to take back. { $serving } answers now; /models shows all versions.
rollback-done = Done: { $version } serves now.
trial-numbers = { $ratings ->
        [0] nobody has rated its texts yet
       *[other] people liked its texts in { $likes } of { $ratings } ratings ({ NUMBER($percent, maximumFractionDigits: 0) } %), the earlier ones in { $rlikes } of { $rratings } ({ NUMBER($rpercent, maximumFractionDigits: 0) } %)
    }
trial-canary = 🐤 { $version } is on trial beside { $reference }: { $live }. It is better with a chance of { NUMBER($better, maximumFractionDigits: 0) } %; about { $togo } more ratings of its texts may decide. /promote or /rollback decide now.
trial-watch = 👀 { $version } is being watched: { $live }. It is better than { $reference } with a chance of { NUMBER($better, maximumFractionDigits: 0) } %. If live ratings find it worse, { $reference } comes back by itself.
trial-promoted = ✅ Live ratings have promoted { $version }: { $live }. It is better with a chance of { NUMBER($better, maximumFractionDigits: 0) } % and answers from now on.
trial-rolled-back = ↩️ Live ratings have rolled { $version } back: { $live }. An equally good version would look this bad less than once in 50 times. { $serves } answers now.
trial-inconclusive = ↩️ The trial of { $version } is over without proof that it is better: { $live }. { $serves } keeps serving.
trial-kept = ✅ { $version } has been watched and stays: { $live }.
rollback-nothing = There is nothing to go back to: { $version } is the first version that served.

# --- For operators ---
rollback-confirm = Take { $leaves } out of service and let { $comes } answer?
backup-done = Backup { $name } is made and verified.
backup-failed = The backup could not be made; the log says why. Free some disk space and try /backup again.
audit =
    Audit log, newest first (UTC · who · what):
    { $list }
audit-empty = The audit log is empty.
ban-usage = Whom? Write /ban and the number under a text, for example /ban #12, or a numeric Telegram id.
ban-confirm = Ban { $person }, and leave their texts and ratings out of all learning?
ban-done = { $person } is banned. /unban with the same number lets them in again.
ban-already = They are already banned.
unban-done = { $person } is no longer banned.
unban-nobody = They are not banned.
health =
    { $checks }

    Version: { $version } · on trial: { $canary }
    Waiting prompts: { $waiting } · given up: { $dead }
    Last training: { $trained }
    Taste: { $taste }
    Newest backup: { $backup }
    Free disk: { NUMBER($free, maximumFractionDigits: 1) } GiB · people with consent: { $people }
health-taste = { $texts } rated texts · { $people } people of their own · AUROC { $auroc }
health-disk = Disk
health-updates = Last heard from Telegram
health-queue = Prompts
health-engine = Engine
alarm-dead-letter = ⚠️ I had to give up on an update ({ $update }, { $error }), so somebody may miss an answer. /health counts such cases; the log says more.
alarm-unreadable-backup = ⚠️ Backup { $name } is damaged, so I cannot erase forgotten people in it. Please delete it.
alarm-chat-moved = ⚠️ The group { $before } of ALLOWED_CHATS has become a supergroup with the number { $now }. Put that into ALLOWED_CHATS, or I will leave it after the next start.
alarm-backup = ⚠️ Tonight's backup could not be made; the log says why. Free some disk space, then /backup.

# --- Verdicts ---
verdict-left-out = This machine had no time for a whole night: the run's report says what was left out.
verdict-promoted = ✅ Run { $run }: promoted. { $version } answers from now on. { $reason }
verdict-canary = 🐤 Run { $run }: canary. { $why ->
        [approval] { $version } is ready.
       *[other] { $version } is on trial: it writes { NUMBER($share, maximumFractionDigits: 0) } % of the texts, and live ratings decide.
    } { $reason }
verdict-rejected = ↩️ Run { $run }: rejected. { $version } keeps serving. { $reason }
verdict-skipped = ⏭ Run { $run }: skipped. { $version } keeps serving. { $reason }
verdict-failed = ⚠️ Run { $run }: failed. { $version } keeps serving. { $reason }
reason-better = On replayed prompts its texts should please { NUMBER($gain_points, maximumFractionDigits: 1) } { $gain_points ->
        [one] point
       *[other] points
    } more ({ $ratings } ratings, { NUMBER($sure, maximumFractionDigits: 0) } % sure).
reason-approval = It has passed the gate with { $ratings } ratings and waits for you: /approve { $candidate }
reason-not_better = The new texts are not clearly better than the old ones ({ NUMBER($sure, maximumFractionDigits: 0) } % sure, { $ratings } ratings). More ratings will help.
reason-no_signal = The { $ratings } ratings do not agree enough to learn from yet. More ratings will help.
reason-kl = The candidate moved too far from the base model.
reason-fluency = The candidate wrote less fluently.
reason-diversity = The candidate repeated itself more.
reason-length = The candidate's texts were much shorter or longer.
reason-segment = Some of those who ask would like the new texts less, whatever the others say.
reason-ratings = The ratings so far speak against the new texts.
reason-hacks = The candidate fished for reactions, flattered, shouted, or had a catch-phrase.
reason-golden = The candidate failed on prompts that every version must manage.
reason-safety = The safety filter found more in its texts than before.
reason-bias = It wrote worse about one group of people compared with another than the base does.
reason-memorised = It had memorised a planted test secret, so it might have revealed people's texts as well.
reason-overlap = The candidate repeated rated texts word for word.
reason-nan = Training produced invalid numbers (NaN); nothing was changed.
reason-too_few_ratings = { $have } ratings with consent so far; a run needs { $need }. One counts once both who asked and who rated have said /optin.
reason-too_few = There are too few different rated texts with consent yet.
reason-one_sided = Nearly all ratings say the same, so there is nothing to compare. A few of the other kind will help.
reason-one_rater = All ratings come from one person. A second one will help.
reason-cancelled = It was cancelled.
reason-interrupted = It was interrupted twice. /retrain tries again.
reason-trainer = Training failed; the log says why. /retrain tries again.
reason-stalled = Training made no progress for too long and was stopped. /retrain tries again; if it happens again, choose a smaller model.
reason-engine = The engine could not load the new version; the log says why. /retrain tries again.
reason-disk = The disk could not be written to; the log says why. Free some space, then /retrain.
reason-memory = There was not enough memory. Free some, or choose a smaller model, then /retrain.
reason-live_better = Live ratings have decided: { $live }.
reason-live_worse = Live ratings found it worse: { $live }.
reason-live_unclear = Live ratings gave no proof that it is better: { $live }.
reason-forgotten = Somebody it has learned from was forgotten or banned at the last moment. /retrain learns without them.
reason-unexpected = Something unexpected happened; the log says what. /retrain tries again.

# --- The command menu ---
menu-help = What I can do
menu-duel = Two texts at once, and you choose: /duel green tea
menu-top = The best-loved texts of the week
menu-stats = A picture of what I have learned
menu-cancel = Stop what you are writing for me
menu-optin = Let me learn from you here
menu-optout = Do not let me learn from you here
menu-settings = What I do for you in this chat
menu-privacy = What I keep, and your choice
menu-report = Report a text (as a reply to it)
menu-check = Do your reactions reach me? Or: did I write that text?
menu-about = What writes here, and what it learned from
menu-mydata = Send me everything you have of me
menu-forget = Erase everything of mine
menu-retrain = Admins: learn from the ratings now
menu-models = Admins: the versions, and which one serves
menu-promote = Admins: let a version serve
menu-approve = Admins: let the version serve that is waiting
menu-rollback = Admins: go back to the previous version
menu-health = Admins: is all well?
menu-backup = Admins: make a backup now
menu-audit = Admins: the audit log
menu-ban = Admins: ban a person
menu-unban = Admins: lift a ban
