"""Between attributes on the wire and attributes of the law."""

from collections.abc import Sequence
from typing import Any

from keyrack.domain import attributes, creation
from keyrack.domain.errors import ItemNotFound
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.domain.search import Narrowing
from keyrack.operations._context import Context
from keyrack.spec.enumerations import ObjectType
from keyrack.spec.structures import Name
from keyrack.spec.versions import ProtocolVersion
from keyrack.wire.attributes import Attribute
from keyrack.wire.objects import TemplateAttribute


def shown(name: str, instance: Indexed) -> Attribute:
    """One instance of an attribute as an answer carries it."""
    return Attribute(
        attribute_name=name,
        attribute_index=attributes.shown_index(instance.index),
        attribute_value=instance.value,
    )


def held(managed: ManagedObject, names: Sequence[str], version: ProtocolVersion) -> tuple[Attribute, ...]:
    """The attributes of an object that are named and that it has, each with all its instances."""
    if not names:
        return ()
    return tuple(shown(name, instance) for name, instance in attributes.visible(managed, names, version))


def pairs(given: Sequence[Attribute]) -> tuple[tuple[str, Any], ...]:
    """Names and values of attributes that a request carries."""
    return tuple((each.attribute_name, each.attribute_value) for each in given)


async def taken_names(given: Sequence[tuple[str, Any]], context: Context, besides: str = "") -> frozenset[str]:
    """Those of the Name Values in ``given`` that another object of the instance than ``besides`` bears already."""
    wanted = attributes.name_values(given)
    return frozenset([name for name in wanted if await context.name_taken(name, besides)])


async def given(template: TemplateAttribute, context: Context) -> Sequence[tuple[str, Any]]:
    """All that a Template-Attribute asks for: its own attributes, then those of the templates it names (2.1.8)."""
    templates = [await _template(name, context) for name in template.name]
    return creation.with_templates(pairs(template.attribute), templates)


async def _template(name: Name, context: Context) -> ManagedObject:
    narrowing = Narrowing(object_type=ObjectType.TEMPLATE, equal=(("Name", name),))
    found = await context.search(narrowing, lambda managed: attributes.bears_name(managed, name.name_value))
    if not found:
        raise ItemNotFound("this instance has no template of the name that the Template-Attribute gives")
    return found[0]
