"""A node's schema, the node base class, and the description of a node that the frontend reads."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .base import Input, Output
from .dynamic import DynamicInput, input_table
from .sockets import MatchType


class Hidden(StrEnum):
    """What a node may ask of the host besides its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"
    comfy_usage_source = "COMFY_USAGE_SOURCE"


class HiddenHolder:
    """The hidden values of the node that is running: `cls.hidden.prompt`. What was not asked for is None."""

    unique_id: str | None
    prompt: dict[str, Any] | None  # the whole graph in the API format
    extra_pnginfo: (
        dict[str, Any] | None
    )  # what else a saved file carries: `{"workflow": the graph as the frontend saved it}`

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return


@dataclass
class Schema:
    """What a node is called and what goes in and out of it. Fields as in ComfyUI's V3 schema."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False  # `execute` gets whole lists instead of one call per entry
    is_output_node: bool = False  # runs even though nothing needs its outputs
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    price_badge: Any = None
    not_idempotent: bool = False  # two nodes with the same inputs give different results
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def finalize(self) -> None:
        """Fill what may be left out: lists, the metadata of output nodes, ids of outputs."""
        self.inputs, self.outputs = list(self.inputs or []), list(self.outputs or [])
        self.hidden = list(self.hidden or [])
        # Files that an output node saves carry the workflow.
        if self.is_output_node:
            self.hidden += [h for h in (Hidden.prompt, Hidden.extra_pnginfo) if h not in self.hidden]
        for index, output in enumerate(self.outputs):
            if output.id is None:
                output.id = f"_{index}_{output.io_type}_"

    def validate(self) -> None:
        """Raise ValueError when two inputs or two outputs share an id."""
        plain = [e for entry in self.inputs if not isinstance(entry, DynamicInput) for e in entry.get_all()]
        for kind, ids in (("Input", [e.id for e in plain]), ("Output", [str(o.id) for o in self.outputs])):
            twice = sorted({i for i in ids if ids.count(i) > 1})
            if twice:
                raise ValueError(f"{kind} ids must be unique, but {twice} are not.")

    def node_info(self, python_module: str = "nodes") -> dict[str, Any]:
        """Return the entry of this node in the host's `/object_info`."""
        table = input_table(self.inputs)
        if self.hidden:
            table["hidden"] = {h.name: (h.value,) for h in self.hidden}
        templates = [o.template.template_id if isinstance(o, MatchType.Output) else None for o in self.outputs]
        return {
            "input": table,
            "input_order": {kind: list(entries) for kind, entries in table.items()},
            "is_input_list": self.is_input_list,
            "output": [o.get_io_type() for o in self.outputs],
            "output_is_list": [o.is_output_list for o in self.outputs],
            "output_name": [o.display_name or o.get_io_type() for o in self.outputs],
            "output_tooltips": [o.tooltip or None for o in self.outputs],
            "output_matchtypes": templates if any(templates) else None,
            "name": self.node_id,
            "display_name": self.display_name,
            "description": self.description,
            "python_module": python_module,
            "category": self.category,
            "output_node": self.is_output_node,
            "deprecated": self.is_deprecated,
            "experimental": self.is_experimental,
            "dev_only": self.is_dev_only,
            "api_node": self.is_api_node,
            "price_badge": None,
            "search_aliases": self.search_aliases or None,
            "essentials_category": self.essentials_category,
            "has_intermediate_output": self.has_intermediate_output,
        }


class UIOutput:
    """Something that a node shows in the frontend."""

    def as_dict(self) -> dict[str, Any]:
        """Return what the frontend gets: lists by what kind of thing is shown."""
        raise NotImplementedError


class NodeOutput:
    """What `execute` returns: one value per output socket, and something to show."""

    def __init__(
        self,
        *args: Any,
        ui: UIOutput | dict[str, Any] | None = None,
        expand: dict[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, None when there are none."""
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]

    @classmethod
    def from_any(cls, value: Any) -> NodeOutput:
        """Accept the older ways to return: nothing, a tuple, a dict with `result` and `ui`.

        Raises TypeError for anything else.
        """
        if isinstance(value, NodeOutput):
            return value
        if value is None:
            return cls()
        if isinstance(value, tuple):
            return cls(*value)
        if isinstance(value, dict):
            return cls(*value.get("result", ()), ui=value.get("ui"), expand=value.get("expand"))
        raise TypeError(f"a node must return a NodeOutput, a tuple or a dict, not {type(value).__name__}")


class ComfyNode:
    """Base class of every node. A node has no state: all its methods are class methods.

    The host calls them by name. `*args` is there for type checkers alone: it lets a node list its own inputs.
    """

    RELATIVE_PYTHON_MODULE: str | None = None
    hidden: HiddenHolder = HiddenHolder()

    @classmethod
    def define_schema(cls) -> Schema:
        """Return what the node is called and what goes in and out of it."""
        raise NotImplementedError(f"{cls.__name__} has no define_schema")

    @classmethod
    def execute(cls, *args: Any, **kwargs: Any) -> Any:
        """Do the node's work. Returns what `NodeOutput.from_any` takes, or a coroutine of it."""
        raise NotImplementedError(f"{cls.__name__} has no execute")

    @classmethod
    def validate_inputs(cls, *args: Any, **kwargs: Any) -> bool | str:
        """Return True, or what is wrong. Optional; it gets the inputs it names, and None for a linked one."""
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a value that changes when the node must run again with the same inputs. Optional."""
        raise NotImplementedError

    @classmethod
    def check_lazy_status(cls, *args: Any, **kwargs: Any) -> list[str] | None:
        """Name the lazy inputs that are needed, given the ones known so far; an unknown one is None."""
        return [name for name, value in kwargs.items() if value is None]

    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802 (the API's name)
        """Return the schema, checked. It is built anew on each call: lists of files in it may have changed.

        Raises TypeError where `define_schema` or `execute` is missing, ValueError where two ids are the same.
        """
        for method in ("define_schema", "execute"):
            if not cls.overrides(method):
                raise TypeError(f"{cls.__name__} has no {method}")
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def GET_NODE_INFO_V1(cls) -> dict[str, Any]:  # noqa: N802 (the API's name)
        """Return the entry of this node in the host's `/object_info`."""
        return cls.GET_SCHEMA().node_info(cls.RELATIVE_PYTHON_MODULE or "nodes")

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Return whether the node has its own `method`."""
        return getattr(cls, method).__func__ is not getattr(ComfyNode, method).__func__

    @classmethod
    def parameters(cls, method: str) -> tuple[set[str], bool]:
        """Return the names that `method` takes, and whether it takes any other (`**kwargs`)."""
        found = inspect.signature(getattr(cls, method)).parameters.values()
        return {p.name for p in found if p.kind is not p.VAR_KEYWORD}, any(p.kind is p.VAR_KEYWORD for p in found)

    @classmethod
    def with_hidden(cls, hidden: HiddenHolder) -> type[ComfyNode]:
        """Make a throw-away subclass that carries the hidden values of one run: two runs at once share no state."""
        return type(cls.__name__, (cls,), {"hidden": hidden, "__module__": cls.__module__})
