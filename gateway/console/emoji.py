"""The short names that people write in chats, and what a chat shows for them."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: The common ones, by the names that Slack gives them.
EMOJI: Final[Mapping[str, str]] = MappingProxyType(
    {
        "+1": "👍", "-1": "👎", "100": "💯", "alarm_clock": "⏰", "arrow_down": "⬇️", "arrow_left": "⬅️",
        "arrow_right": "➡️", "arrow_up": "⬆️", "arrows_counterclockwise": "🔄", "bar_chart": "📊", "beers": "🍻",
        "bell": "🔔", "birthday": "🎂", "boom": "💥", "briefcase": "💼", "bug": "🐛", "bulb": "💡",
        "busts_in_silhouette": "👥", "bust_in_silhouette": "👤", "calendar": "📆", "chart_with_downwards_trend": "📉",
        "chart_with_upwards_trend": "📈", "clap": "👏", "clipboard": "📋", "clock1": "🕐", "construction": "🚧",
        "credit_card": "💳", "cry": "😢", "date": "📅", "dollar": "💵", "email": "📧", "envelope": "✉️",
        "exclamation": "❗", "eyes": "👀", "fire": "🔥", "gear": "⚙️", "gift": "🎁", "globe_with_meridians": "🌐",
        "green_circle": "🟢", "green_heart": "💚", "grey_question": "❔", "handshake": "🤝", "hammer_and_wrench": "🛠️",
        "heart": "❤️", "heavy_check_mark": "✔️", "heavy_minus_sign": "➖", "heavy_plus_sign": "➕", "hourglass": "⌛",
        "house": "🏠", "id": "🆔", "inbox_tray": "📥", "information_source": "ℹ️", "iphone": "📱", "joy": "😂",
        "key": "🔑", "label": "🏷️", "large_blue_circle": "🔵", "link": "🔗", "lock": "🔒", "mag": "🔍",
        "mailbox": "📫", "mega": "📣", "memo": "📝", "money_with_wings": "💸", "moneybag": "💰", "muscle": "💪",
        "mute": "🔇", "no_entry": "⛔", "no_entry_sign": "🚫", "office": "🏢", "ok": "🆗", "ok_hand": "👌",
        "outbox_tray": "📤", "package": "📦", "paperclip": "📎", "partying_face": "🥳", "pencil": "📝", "pencil2": "✏️",
        "phone": "☎️", "point_right": "👉", "pray": "🙏", "pushpin": "📌", "question": "❓", "raised_hands": "🙌",
        "recycle": "♻️", "red_circle": "🔴", "repeat": "🔁", "robot_face": "🤖", "rocket": "🚀", "rotating_light": "🚨",
        "round_pushpin": "📍", "seedling": "🌱", "shopping_cart": "🛒", "shopping_trolley": "🛒", "slightly_smiling_face": "🙂",
        "smile": "😄", "smiley": "😃", "snail": "🐌", "sos": "🆘", "sparkles": "✨", "speech_balloon": "💬", "star": "⭐",
        "star2": "🌟", "stopwatch": "⏱️", "sunglasses": "😎", "tada": "🎉", "telephone": "☎️", "telephone_receiver": "📞",
        "thinking_face": "🤔", "thumbsdown": "👎", "thumbsup": "👍", "ticket": "🎫", "trophy": "🏆", "truck": "🚚",
        "unlock": "🔓", "wastebasket": "🗑️", "warning": "⚠️", "wave": "👋", "white_check_mark": "✅", "white_circle": "⚪",
        "wrench": "🔧", "x": "❌", "yellow_circle": "🟡", "zap": "⚡", "zzz": "💤",
    }
)  # fmt: skip

_SHORT_NAME: Final = re.compile(r":([a-z0-9_+-]{1,40}):")


def with_emoji(text: str) -> str:
    """``text`` with its short names replaced; an unknown one stays as it is, as in a chat."""
    return _SHORT_NAME.sub(lambda found: EMOJI.get(found[1], found[0]), text)
