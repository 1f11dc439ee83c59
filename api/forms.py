"""Uploads of signed-in readers, read strictly: texts and files by name, kept in memory, each refusal at its place."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from api.asking import body_of
from api.errors import BadRequest, Pointed

_FIELDS = 20


class File(NamedTuple):
    """An uploaded file: the name that the sender gave it, which counts for its ending only, and its bytes."""

    name: str
    data: bytes


class Form(NamedTuple):
    """A multipart form: its texts by name, and its files by name in order."""

    texts: Mapping[str, str]
    files: Sequence[tuple[str, File]]

    def text(self, name: str) -> str:
        """A text that must be there. Raise BadRequest otherwise."""
        if not self.texts.get(name, "").strip():
            raise BadRequest([Pointed(f"/{name}", "必填，不能为空")])
        return self.texts[name]

    def file(self, name: str) -> File:
        """The one file of a field. Raise BadRequest if there is none, it is empty, or there are several."""
        found = [one for field, one in self.files if field == name]
        if len(found) != 1 or not found[0].data:
            raise BadRequest([Pointed(f"/{name}", "须上传一个文件，且不能为空")])
        return found[0]


async def form_of(request: Request, *, most_bytes: int, most_files: int, files: Sequence[str]) -> Form:
    """A multipart form, kept in memory. Raise BadRequest for what is none, or has a file under another name."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest([Pointed("", "须以 multipart/form-data 提交")])
    body = await body_of(request, most_bytes)

    async def stream() -> Any:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=most_files, max_fields=_FIELDS)
    parser.spool_max_size = most_bytes
    try:
        parsed = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, LookupError) as error:
        raise BadRequest([Pointed("", "不是合法的 multipart/form-data，或文件过多")]) from error
    texts = {name: value for name, value in parsed.multi_items() if isinstance(value, str)}
    found = [
        (name, File(value.filename or "", await value.read()))
        for name, value in parsed.multi_items()
        if isinstance(value, UploadFile)
    ]
    await parsed.close()
    if strange := [name for name, _ in found if name not in files]:
        raise BadRequest([Pointed(f"/{strange[0][:50]}", f"文件须放在 {'、'.join(files)} 之下")])
    return Form(texts, found)
