"""What a request brings: images with their names, out of JSON or a form, within the limits.

Text is UTF-8 and nothing else: no header of a request chooses how its bytes are decoded. Requests are taken apart in
threads, so that one that takes long delays no other.
"""

import asyncio
import base64
import binascii
import codecs
import io
import json
import time
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from zeromiss.sections import first_fault
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import ServingParams

ONE, MANY = "image", "images"  # the field that holds the image, or a batch's
_BODIES = 16  # bodies of the largest size that may be arriving; of one client half as many
_PARTS = 1000  # of a form beside its images
_SIGNS = 512  # commas, colons and brackets of an image in JSON, those in its name included; base64 has none
_PATIENCE = 4  # times the limit that are read and thrown away before a sender is cut off
_LONGEST_NAME, _LONGEST_DESIGN = 255, 40  # characters
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_TYPES = 'application/json with {"image": BASE64}, or multipart/form-data with the file in the field image'
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogate pairs, separators of lines and paragraphs
_TURNS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # change the direction of the text that follows


class _Image(BaseModel):
    """One image of a JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str  # base64 of an image file
    name: str = Field(default="", max_length=_LONGEST_NAME)
    reference: str | None = None  # base64 of the picture that it is compared with
    design: str = Field(default="", max_length=_LONGEST_DESIGN)


class _Images(BaseModel):
    """A JSON batch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: Annotated[list[_Image], FailFast()] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Given:
    """An image file's bytes as sent, and what comes with it; `refusal` where they are none that can be tried."""

    name: str
    data: bytes = b""
    reference: bytes | None = None  # of the file of the picture that it is compared with
    design: str = ""
    pixels: int = 0  # of the image and its reference, by their headers; 0 where they have none
    refusal: Refusal | None = None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return len(self.data) + len(self.reference or b"")


class Arriving:
    """The bytes of requests that are not whole yet, bounded in all and for each client."""

    def __init__(self, params: ServingParams) -> None:
        """Have room for a few requests of the largest size."""
        self._most = _BODIES * _bytes(params.max_body_mib)
        self._held: Counter[str] = Counter()

    @contextmanager
    def of(self, client: str) -> "Iterator[_Held]":
        """Count the bytes of one request until its images have their places."""
        held = _Held(self, client)
        try:
            yield held
        finally:
            held.drop()

    def add(self, client: str, count: int) -> Refusal | None:
        """Count bytes, or return the refusal where there is no room for them."""
        if self._held.total() + count > self._most or self._held[client] + count > self._most // 2:
            return Refusal(503, "too many requests are arriving: send it again in 1 s", again=1)
        self._held[client] += count
        return None

    def take_off(self, client: str, count: int) -> None:
        """Count bytes no more."""
        self._held[client] -= count
        self._held = +self._held  # without clients that hold none


class _Held:
    """The bytes of one request."""

    def __init__(self, arriving: Arriving, client: str) -> None:
        """None so far."""
        self._arriving, self._client, self._count = arriving, client, 0

    def add(self, count: int) -> Refusal | None:
        """Count more, or return the refusal where there is no room for them."""
        refusal = self._arriving.add(self._client, count)
        self._count += 0 if refusal else count
        return refusal

    def drop(self) -> None:
        """Count none."""
        self._arriving.take_off(self._client, self._count)
        self._count = 0


async def read_one(request: Request, params: ServingParams, held: _Held) -> Given:
    """Return the image of a request. Raises Refusal where there is none, or it is too large or too slow."""
    given = await _read(request, params, held, batch=False)
    if len(given) != 1:
        raise Refusal(400, f"the form has {len(given)} files in the field {ONE}: send one, or several to /inspect/batch as {MANY}")
    if given[0].refusal is not None:
        raise given[0].refusal
    return given[0]


async def read_batch(request: Request, params: ServingParams, held: _Held) -> list[Given]:
    """Return the images of a batch, in their order. Raises Refusal as `read_one`, and for more than it may hold."""
    given = await _read(request, params, held, batch=True)
    if not given:
        raise Refusal(400, f"the form has no file in the field {MANY}: send at least one")
    return given


async def _read(request: Request, params: ServingParams, held: _Held, *, batch: bool) -> list[Given]:
    """Return what a request holds."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    refusal = None
    if kind not in (b"application/json", b"multipart/form-data"):
        refusal = Refusal(415, f"a request of type {clean(kind.decode('latin-1'), 80) or 'unknown'} is not read: send {_TYPES}")
    elif _foreign(charset := options.get(b"charset", b"utf-8")):
        refusal = Refusal(415, f"text in {clean(charset.decode('latin-1'), 40)} is not read: send UTF-8")
    body = await _body(request, params, held, refusal)
    if kind == b"application/json":
        return await run_in_threadpool(lambda: _measured(_from_json(body, params, batch=batch), params))
    return await run_in_threadpool(lambda: _measured(_from_form(body, options.get(b"boundary", b""), params, batch=batch), params))


async def _body(request: Request, params: ServingParams, held: _Held, refusal: Refusal | None) -> bytes:
    """Return a request's body, or raise Refusal.

    A body that is refused is read all the same, within limits, and nothing of it is kept: a sender that is cut off does
    not see the answer.
    """
    most = _bytes(params.max_body_mib)
    large = Refusal(413, f"the request has more than {params.max_body_mib:g} MiB (serving.max_body_mib): send a smaller image or fewer at once")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > _PATIENCE * most:
        raise refusal or large
    body, size = bytearray(), 0
    try:
        async for chunk in _in_time(request.stream(), params):
            size += len(chunk)
            if size > _PATIENCE * most:
                break
            if refusal is None:
                refusal = large if size > most else held.add(len(chunk))
            if refusal is None:
                body += chunk
            elif body:
                body.clear()
                held.drop()
    except TimeoutError:
        late = f"the request did not arrive in time ({params.seconds:g} s in all, {params.header_seconds:g} s without a byte): send it faster"
        raise refusal or Refusal(408, late) from None
    except ClientDisconnect:
        raise refusal or Refusal(400, "the connection was closed before the request was whole: send it again") from None
    if refusal is not None:
        raise refusal
    return bytes(body)


async def _in_time(stream: AsyncIterator[bytes], params: ServingParams) -> AsyncIterator[bytes]:
    """Yield what arrives. Raises TimeoutError for too long a time in all, or without a byte."""
    end = time.monotonic() + params.seconds
    with suppress(StopAsyncIteration):
        while True:
            async with asyncio.timeout(min(params.header_seconds, end - time.monotonic())):
                chunk = await anext(stream)
            yield chunk


def _from_json(body: bytes, params: ServingParams, *, batch: bool) -> list[Given]:
    """Return the images of a JSON request; one whose base64 is none refuses itself alone."""
    if sum(map(body.count, (b",", b":", b"{", b"["))) > _SIGNS * params.batch_images:  # millions of values would take minutes to look through
        raise Refusal(413, f"the JSON has more values than {params.batch_images} images have: send at most {params.batch_images} at once")
    try:
        tree = json.loads(body.removeprefix(codecs.BOM_UTF8).decode(), object_pairs_hook=_distinct)
        entries: Sequence[_Image] = _Images.model_validate(tree).images if batch else [_Image.model_validate(tree)]
    except ValidationError as error:
        key, fault = first_fault(error)
        raise Refusal(400, f"the JSON's {clean(key, 80) or 'value'} is wrong ({fault}): send {_shape(batch)}") from None
    except UnicodeDecodeError:
        raise Refusal(400, f"the body is not JSON in UTF-8: send {_shape(batch)}") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON ({clean(str(error), 80)}): send {_shape(batch)}") from None
    return [_decoded(entry) for entry in entries]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raises ValueError for a key that stands there twice: which of the two is meant is not known."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _decoded(entry: _Image) -> Given:
    """Return the bytes that base64 stands for."""
    name = clean(entry.name, _LONGEST_NAME)
    try:
        reference = None if entry.reference is None else base64.b64decode(entry.reference, validate=True)
        return Given(name=name, data=base64.b64decode(entry.image, validate=True), reference=reference, design=clean(entry.design, _LONGEST_DESIGN))
    except (binascii.Error, ValueError):
        return Given(name=name, refusal=Refusal(400, f"{name or 'the image'} or its reference is not base64: send the file's bytes in base64"))


def _from_form(body: bytes, boundary: bytes, params: ServingParams, *, batch: bool) -> list[Given]:
    """Return the files of a form; reference and design are those of all its images."""
    field = MANY if batch else ONE
    files, texts = _parts(body, boundary, field, params)
    if field in texts:
        raise Refusal(400, f"the field {field} is text: send it as a file, with curl as -F {field}=@PATH")
    images, references, designs = files.pop(field, []), files.pop("reference", []), texts.pop("design", [""])
    names = texts.pop("name", []) if not batch else []
    if len(references) > 1 or len(designs) > 1 or len(names) > 1 or "reference" in texts or "design" in files:
        asked = "send them so, with curl as -F reference=@PATH -F design=NAME"
        raise Refusal(400, f"the form may have one file in the field reference and one text in the field design: {asked}")
    reference, design = references[0][1] if references else None, clean(designs[0], _LONGEST_DESIGN + 1)  # a longer one is none that a model has
    given = [Given(name=clean((names or [name])[0] or name, _LONGEST_NAME), data=data, reference=reference, design=design) for name, data in images]
    if given and (left := [*files, *texts]):
        raise Refusal(400, f"the form has the field {clean(left[0], 80)}, which is not read: the images stand in {field}")
    return given


def _parts(body: bytes, boundary: bytes, field: str, params: ServingParams) -> tuple[dict[str, list[tuple[str, bytes]]], dict[str, list[str]]]:
    """Return a form's files, with their names, and its texts, by field. Raises Refusal for a form that is torn, has too much or text that is not UTF-8."""
    files: dict[str, list[tuple[str, bytes]]] = {}
    texts: dict[str, list[str]] = {}
    ends: list[bool] = []
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1
        if count > _PARTS + params.batch_images:
            raise Refusal(413, f"the form has more than {_PARTS + params.batch_images} parts: send at most {params.batch_images} images at once")

    def take_file(file: File) -> None:
        counted()
        file.file_object.seek(0)
        files.setdefault((file.field_name or b"").decode(), []).append(((file.file_name or b"").decode(), file.file_object.read()))

    def take_text(text: FormField) -> None:
        counted()
        _, options = parse_options_header(text.content_type)
        if _foreign(charset := options.get(b"charset", b"utf-8")):
            raise Refusal(415, f"text in {clean(charset.decode('latin-1'), 40)} is not read: send UTF-8")
        texts.setdefault((text.field_name or b"").decode(), []).append((text.value or b"").decode())

    config = {"MAX_MEMORY_FILE_SIZE": float("inf"), "UPLOAD_ERROR_ON_BAD_CTE": True}  # it is in memory already: no copy of it goes to disk
    try:
        parser = FormParser("multipart/form-data", take_text, take_file, lambda: ends.append(True), boundary=boundary or None, config=config)
        parser.write(body)
        parser.finalize()
    except UnicodeDecodeError:
        raise Refusal(400, "the form has a name or a text that is not UTF-8: send UTF-8") from None
    except (FormParserError, ValueError) as error:
        raise Refusal(400, f"the form cannot be read ({clean(str(error), 80)}): send multipart/form-data with the files in {field}") from None
    if not ends:
        raise Refusal(400, f"the form cannot be read (its end is missing): send multipart/form-data with the files in {field}")
    return files, texts


def _measured(given: list[Given], params: ServingParams) -> list[Given]:
    """Return images with their pixels; one with too many refuses itself alone. Raises Refusal for more images than a batch may have."""
    if len(given) > params.batch_images:
        raise Refusal(413, f"the batch has {len(given)} images: send at most {params.batch_images} at once")
    return [one if one.refusal is not None else count_pixels(one, params.max_megapixels) for one in given]


def count_pixels(given: Given, most: float) -> Given:
    """Return an image with the pixels of its files by their headers, before any is unpacked; more than `most` million in a file are its refusal."""
    pixels = 0
    for name, data in ((given.name or "the image", given.data), ("the reference", given.reference)):
        try:
            width, height = header_size(data) if data else (0, 0)
        except Image.DecompressionBombError:
            return replace(given, refusal=_too_many(name, "more than 170 million", most))
        if width * height > most * 1e6:
            return replace(given, refusal=_too_many(name, f"{width} x {height}", most))
        pixels += width * height
    return replace(given, pixels=pixels)


def header_size(data: bytes) -> tuple[int, int]:
    """Return width and height in an image file's header, 0 and 0 where Pillow finds none: the reader says what is wrong with it.

    Raises DecompressionBombError for more pixels than Pillow takes.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size
    except Image.DecompressionBombError:
        raise
    except Exception:  # a header may be wrong in more ways than Pillow has errors for
        return 0, 0


def clean(text: str, longest: int) -> str:
    """Return text of a sender that every file, table, log and answer can hold: no control characters, no half characters, at most `longest` long."""
    shown = (one if unicodedata.category(one) not in _CONTROLS and one not in _TURNS else "\ufffd" for one in text[:longest])
    return "".join(shown)


def _too_many(name: str, pixels: str, most: float) -> Refusal:
    """Return the refusal of an image that is too large."""
    return Refusal(413, f"{name} has {pixels} pixels: at most {most:g} million are taken (serving.max_megapixels)")


def _foreign(charset: bytes) -> bool:
    """Return whether a charset is another than UTF-8."""
    return charset.strip(b" \"'").lower() not in (b"utf-8", b"utf8", b"us-ascii")


def _bytes(mib: float) -> int:
    """Return mebibytes in bytes."""
    return int(mib * (1 << 20))


def _shape(batch: bool) -> str:
    """Return what JSON is expected."""
    one = '{"image": BASE64, "name": TEXT}'
    return f'{{"images": [{one}, ...]}}' if batch else one
