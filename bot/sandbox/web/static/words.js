// The page's own words in English and Chinese. What the bot says comes from the bot.

const WORDS = {
  en: {
    doorTitle: "Who are you?",
    doorHint: "Each tab is one person. Open several tabs to be several people.",
    yourName: "Your name",
    yourLanguage: "Language",
    enter: "Enter",
    openAsAdmin: "Open as admin",
    chats: "Chats",
    another: "＋ Open another person",
    switchLanguage: "Switch to Chinese",
    back: "Back to the chats",
    toEnd: "Go to the newest message",
    commands: "Commands",
    message: "Message",
    placeholder: "Write a message",
    send: "Send",
    noReply: "Do not reply to this message",
    close: "Close",
    loop: "The loop",
    pickReaction: "Choose a reaction",
    react: "React",
    reply: "Reply",
    you: "You",
    admin: "admin",
    bot: "bot",
    members: (n) => `${n} members`,
    edited: "edited",
    joined: (name) => `${name} joined`,
    movedOn: "This group became a supergroup",
    photo: "Photo",
    document: "File",
    deleted: "a message that is gone",
    offline: "Connecting…",
    logHint: "Arrow keys go from message to message, Tab to a message's buttons.",
    start: "Start",
    emptyGroup: "Nothing here yet. Try “/” for what the bot can do.",
    unread: (n) => `${n} unread`,
    today: "Today",
    yesterday: "Yesterday",
    noAnswer: "The bot did not answer in time.",
    gone: "That message is gone.",
    failed: "That did not work. Is the sandbox still running?",
    version: "Version",
    ratings: "Ratings",
    texts: "Texts",
    liked: "Liked",
    perVersion: "Satisfaction per version",
    perEvening: "Evening by evening",
    evening: (n) => `Evening ${n}`,
    newest: "Newest ratings",
    secondsLeft: (n) => `about ${n} s left`,
    reactionLabel: (emoji, n) => `${emoji}, ${n}`,
    adminNamed: "Admin",
  },
  zh: {
    doorTitle: "你是谁？",
    doorHint: "一个标签页就是一个人。想扮演几个人，就打开几个标签页。",
    yourName: "你的名字",
    yourLanguage: "语言",
    enter: "进入",
    openAsAdmin: "以管理员身份打开",
    chats: "聊天",
    another: "＋ 再打开一个人",
    switchLanguage: "切换到英文",
    back: "回到聊天列表",
    toEnd: "跳到最新消息",
    commands: "命令",
    message: "消息",
    placeholder: "写点什么",
    send: "发送",
    noReply: "取消回复",
    close: "关闭",
    loop: "学习循环",
    pickReaction: "选择回应",
    react: "回应",
    reply: "回复",
    you: "你",
    admin: "管理员",
    bot: "机器人",
    members: (n) => `${n} 位成员`,
    edited: "已编辑",
    joined: (name) => `${name} 加入了群组`,
    movedOn: "群组已升级为超级群组",
    photo: "图片",
    document: "文件",
    deleted: "消息已删除",
    offline: "正在连接…",
    logHint: "用方向键在消息之间移动，用 Tab 键到达消息的按钮。",
    start: "开始",
    emptyGroup: "这里还没有消息。输入“/”看看机器人会做什么。",
    unread: (n) => `${n} 条未读`,
    today: "今天",
    yesterday: "昨天",
    noAnswer: "机器人没有及时回答。",
    gone: "那条消息已经不在了。",
    failed: "没有成功。沙盒还在运行吗？",
    version: "版本",
    ratings: "评分",
    texts: "作品",
    liked: "满意度",
    perVersion: "各版本的满意度",
    perEvening: "逐晚变化",
    evening: (n) => `第 ${n} 晚`,
    newest: "最新评分",
    secondsLeft: (n) => `大约还剩 ${n} 秒`,
    reactionLabel: (emoji, n) => `${emoji}，${n} 个`,
    adminNamed: "管理员",
  },
};

let language = "en";

export const languages = Object.keys(WORDS);

export function currentLanguage() {
  return language;
}

export function speak(code) {
  language = code in WORDS ? code : "en";
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) label(element, word(element.dataset.label));
  document.getElementById("text").placeholder = word("placeholder");
}

export function word(name, ...values) {
  const found = WORDS[language][name];
  return typeof found === "function" ? found(...values) : found;
}

export function label(element, words) {
  element.setAttribute("aria-label", words);
  if (element.tagName === "BUTTON") element.title = words;
}
