"""What a request brings: images with their names, out of JSON or a form, within the limits."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from zeromiss.sections import first_fault
from zeromiss.serving.refusal import Refusal
from zeromiss.stage_params import ServingParams

ONE, MANY = "image", "images"  # the field that holds the image, or a batch's
_PATIENCE = 4  # times the limit that are read and thrown away before a sender is cut off
_TYPES = 'application/json with {"image": BASE64}, or multipart/form-data with the file in the field image'


class _Image(BaseModel):
    """One image of a JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str  # base64 of an image file
    name: str = Field(default="", max_length=255)
    reference: str | None = None  # base64 of the picture that it is compared with
    design: str = Field(default="", max_length=40)


class _Images(BaseModel):
    """A JSON batch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[_Image] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Given:
    """An image file's bytes as sent, and what comes with it; `refusal` where they are none that can be tried."""

    name: str
    data: bytes = b""
    reference: bytes | None = None  # of the file of the picture that it is compared with
    design: str = ""
    refusal: Refusal | None = None


async def read_one(request: Request, params: ServingParams) -> Given:
    """Return the image of a request. Raises Refusal where there is none, or it is too large or too slow."""
    given = await _read(request, params, batch=False)
    if len(given) != 1:
        raise Refusal(400, f"the form has {len(given)} files in the field {ONE}: send one, or several to /inspect/batch as {MANY}")
    if given[0].refusal is not None:
        raise given[0].refusal
    return given[0]


async def read_batch(request: Request, params: ServingParams) -> list[Given]:
    """Return the images of a batch, in their order. Raises Refusal as `read_one`, and for more than it may hold."""
    given = await _read(request, params, batch=True)
    if not given:
        raise Refusal(400, f"the form has no file in the field {MANY}: send at least one")
    if len(given) > params.batch_images:
        raise Refusal(413, f"the batch has {len(given)} images: send at most {params.batch_images} at once")
    return given


async def _read(request: Request, params: ServingParams, *, batch: bool) -> list[Given]:
    """Return what a request holds."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        await discard(request, params)
        raise Refusal(415, f"a request of type {kind or 'unknown'} is not read: send {_TYPES}")
    try:
        async with asyncio.timeout(params.seconds):
            body = await _body(request, params.max_body_mib)
    except TimeoutError:
        raise Refusal(408, f"the request did not arrive within {params.seconds:g} s: send it faster") from None
    except ClientDisconnect:
        raise Refusal(400, "the connection was closed before the request was whole: send it again") from None
    return _from_json(body, batch=batch) if kind == "application/json" else await _from_form(request, body, batch=batch)


async def _body(request: Request, most_mib: float) -> bytes:
    """Return a request's body; of one that is too large nothing is kept."""
    most = int(most_mib * (1 << 20))
    refusal = Refusal(413, f"the request has more than {most_mib:g} MiB (serving.max_body_mib): send a smaller image or fewer at once")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > _PATIENCE * most:
        raise refusal
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            body += chunk
        elif size > _PATIENCE * most:
            break
        else:
            body.clear()
    if size > most:
        raise refusal
    return bytes(body)


async def discard(request: Request, params: ServingParams) -> None:
    """Read a request that is refused, within limits, and keep nothing: a sender that is cut off does not see the answer."""
    with suppress(TimeoutError, ClientDisconnect, Refusal):
        async with asyncio.timeout(params.seconds):
            await _body(request, params.max_body_mib)


def _from_json(body: bytes, *, batch: bool) -> list[Given]:
    """Return the images of a JSON request; one whose base64 is none refuses itself alone."""
    try:
        tree: Any = json.loads(body)
        entries: Sequence[_Image] = _Images.model_validate(tree).images if batch else [_Image.model_validate(tree)]
    except ValidationError as error:
        key, fault = first_fault(error)
        raise Refusal(400, f"the JSON's {key or 'value'} is wrong ({fault}): send {_shape(batch)}") from None
    except (ValueError, RecursionError):
        raise Refusal(400, f"the body is not JSON: send {_shape(batch)}") from None
    return [_decoded(entry) for entry in entries]


def _decoded(entry: _Image) -> Given:
    """Return the bytes that base64 stands for."""
    try:
        reference = None if entry.reference is None else base64.b64decode(entry.reference, validate=True)
        return Given(name=entry.name, data=base64.b64decode(entry.image, validate=True), reference=reference, design=entry.design)
    except (binascii.Error, ValueError):
        return Given(name=entry.name, refusal=Refusal(400, f"{entry.name or 'the image'} or its reference is not base64: send the file's bytes in base64"))


async def _from_form(request: Request, body: bytes, *, batch: bool) -> list[Given]:
    """Return the files of a form."""
    parser = MultiPartParser(request.headers, _once(body))
    parser.spool_max_size = len(body) + 1  # it is in memory already: no copy of it goes to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(400, f"the form cannot be read ({error}): send multipart/form-data with the files in {MANY if batch else ONE}") from None
    try:
        files = form.getlist(MANY if batch else ONE)
        if any(not isinstance(file, UploadFile) for file in files):
            raise Refusal(400, f"the field {MANY if batch else ONE} is text: send it as a file, with curl as -F {MANY if batch else ONE}=@PATH")
        named = form.get("name", "")
        name = named if isinstance(named, str) and not batch else ""
        beside = await _beside(form)
        return [Given(name=(name or file.filename or "")[:255], data=await file.read(), **beside) for file in files if isinstance(file, UploadFile)]
    finally:
        await form.close()


async def _beside(form: FormData) -> dict[str, Any]:
    """Return the reference and design of a form, which are those of all its images."""
    references, design = form.getlist("reference"), form.get("design", "")
    if len(references) > 1 or any(not isinstance(one, UploadFile) for one in references) or not isinstance(design, str):
        asked = "send them so, with curl as -F reference=@PATH -F design=NAME"
        raise Refusal(400, f"the form may have one file in the field reference and one text in the field design: {asked}")
    files = [one for one in references if isinstance(one, UploadFile)]
    return {"reference": await files[0].read() if files else None, "design": design}


async def _once(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body that has been read."""
    yield body


def _shape(batch: bool) -> str:
    """Return what JSON is expected."""
    one = '{"image": BASE64, "name": TEXT}'
    return f'{{"images": [{one}, ...]}}' if batch else one
