"""A group of parameters: frozen, typed, unknown keys refused."""

from pydantic import BaseModel, ConfigDict, ValidationError


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return the dotted key of the first value that does not fit, and what is wrong with it."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].lower()


class Section(BaseModel):
    """A frozen group of parameters in which unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
