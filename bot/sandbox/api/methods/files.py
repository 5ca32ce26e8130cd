"""Photos and documents, kept in memory. Reads a picture's size from its header and nothing more."""

import itertools
import struct

from bot.sandbox.api.methods.context import Context, Handler, chat_id, formatted, keyboard, reply_to, topic
from bot.sandbox.api.params import Params, Upload
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import Attachment

MAX_PHOTO_BYTES = 10 * 1024 * 1024
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


async def send_photo(context: Context, params: Params) -> object:
    """Send a PNG or JPEG with a caption."""
    return _send(context, params, "photo")


async def send_document(context: Context, params: Params) -> object:
    """Send any file with a caption."""
    return _send(context, params, "document")


async def get_file(context: Context, params: Params) -> object:
    """Where to download a file: `/file/bot<token>/<file_path>`."""
    found = context.state.files.get(params.text("file_id"))
    if found is None:
        raise bad_request("invalid file_id")
    attachment, content = found
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise bad_request("file is too big")
    return {
        "file_id": attachment.file_id,
        "file_unique_id": f"u{attachment.file_id}",
        "file_size": attachment.size,
        "file_path": attachment.file_id,
    }


def _send(context: Context, params: Params, kind: str) -> object:
    content = formatted(params, "caption", "caption_entities")
    target = chat_id(params)
    given = params.upload(kind)
    if isinstance(given, Upload):
        attachment = _keep(context, given, is_photo=kind == "photo")
    elif given in context.state.files:
        attachment = context.state.files[given][0]
    else:
        raise bad_request("wrong file identifier/HTTP URL specified" if given else f"there is no {kind} in the request")
    sent = context.side.send(
        target, content, reply_to=reply_to(params), topic=topic(params), keyboard=keyboard(params),
        attachment=attachment,
    )  # fmt: skip
    return context.message(sent)


def _keep(context: Context, upload: Upload, *, is_photo: bool) -> Attachment:
    size = len(upload.content)
    if not size:
        raise bad_request("file must be non-empty")
    if size > (MAX_PHOTO_BYTES if is_photo else MAX_UPLOAD_BYTES):
        raise bad_request("file is too big")
    width, height, content_type = 0, 0, upload.content_type
    if is_photo:
        width, height, content_type = picture_size(upload.content)
    number = next(n for n in itertools.count(len(context.state.files) + 1) if f"file{n}" not in context.state.files)
    kind = "photo" if is_photo else "document"
    attachment = Attachment(
        "photo" if kind == "photo" else "document", f"file{number}", upload.name, content_type, size, width, height
    )
    context.state.files[attachment.file_id] = (attachment, upload.content)
    return attachment


def picture_size(content: bytes) -> tuple[int, int, str]:
    """Width and height in pixels and the content type of a PNG or JPEG.

    Raises:
        ApiError: 400 IMAGE_PROCESS_FAILED for anything else, PHOTO_INVALID_DIMENSIONS for a wild shape.
    """
    if content.startswith(_PNG) and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        content_type = "image/png"
    elif content.startswith(_JPEG):
        width, height = _jpeg_size(content)
        content_type = "image/jpeg"
    else:
        raise bad_request("IMAGE_PROCESS_FAILED")
    if width + height > 10_000 or max(width, height) > 20 * min(width, height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height, content_type


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + int(struct.unpack(">H", content[at + 2 : at + 4])[0])
    raise bad_request("IMAGE_PROCESS_FAILED")


METHODS: dict[str, Handler] = {
    "sendPhoto": send_photo,
    "sendDocument": send_document,
    "getFile": get_file,
}
