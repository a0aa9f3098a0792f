"""The sections of the plant's file, each entry checked on its own: one that is wrong does not hide the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from config.findings import Findings
from config.meters import TagSettings
from config.reader import Steps
from config.wording import meant, nearest, shown
from connectors.catalog import KINDS, Kind
from core.money import SEK
from core.sample import TagId, tag_id
from ledger.settings import AccountSettings, CurrencyCode, LedgerSettings, PartySettings
from opcua_server.settings import OpcUaServerSettings, UserSettings
from settlement.prices import PriceSettings
from settlement.settings import METERS, AgreementSettings, MeterSettings
from settlement.tariff import TariffSettings

M = TypeVar("M", bound=BaseModel)

ID = r"[a-z][a-z0-9-]{0,62}"
NAME = r"[a-z][a-z0-9_]{0,62}"
USER = r"[A-Za-z][A-Za-z0-9._@-]{0,62}"


def _zone(value: Any) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ValueError(f"expected a time zone such as 'Europe/Stockholm', got {shown(value)}") from None


class PlantSection(BaseModel):
    """The plant itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: Annotated[str, Field(min_length=1)]
    timezone: Annotated[
        ZoneInfo,
        PlainValidator(_zone),
        WithJsonSchema({"type": "string", "examples": ["Europe/Stockholm"]}),
        Field(description="IANA time zone: what `hour` in a tariff means."),
    ] = ZoneInfo("Europe/Stockholm")
    currency: Annotated[CurrencyCode, Field(description="Currency of accounts that name none.")] = SEK


class Identification(BaseModel):
    """Who made a machine, and which one it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    manufacturer: str = ""
    model: str = ""
    serial: str = ""


class MachineSection(BaseModel):
    """What a machine has beside its connector and its tags."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: Annotated[str, Field(description="Its id when not given.")] = ""
    identification: Identification = Identification()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: how to reach it, its tags, and the meters over some of them, by tag name.

    `kind.build(id, connection, tags, clock)` makes its connector.
    """

    id: str
    name: str
    identification: Identification
    kind: Kind
    connection: BaseModel
    tags: Mapping[str, TagSettings]
    meters: Mapping[str, MeterSettings]


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """What is valid in a plant's file by itself, before anything is looked up across sections.

    `tags` and `meters` are those of all machines, also of one whose connection is not valid.
    """

    plant: PlantSection
    ledger: LedgerSettings
    parties: Mapping[str, PartySettings]
    accounts: Mapping[str, AccountSettings]
    machines: Mapping[str, Machine]
    tags: Mapping[TagId, TagSettings]
    meters: Mapping[TagId, MeterSettings]
    prices: Mapping[str, PriceSettings]
    tariffs: Mapping[str, TariffSettings]
    agreements: Mapping[str, AgreementSettings]
    opcua: OpcUaServerSettings
    users: Mapping[str, UserSettings]


SINGLE: dict[str, type[BaseModel]] = {"plant": PlantSection, "ledger": LedgerSettings, "opcua": OpcUaServerSettings}
"""Sections that describe one thing."""

NAMED: dict[str, tuple[type[BaseModel], str, str]] = {
    "parties": (PartySettings, ID, "customer"),
    "accounts": (AccountSettings, ID, "agv-7"),
    "prices": (PriceSettings, NAME, "spot"),
    "tariffs": (TariffSettings, ID, "per-metre"),
    "agreements": (AgreementSettings, ID, "internal-transport"),
    "users": (UserSettings, USER, "anna"),
}
"""Sections of many things by name: the settings of one, what a name looks like, and an example of it."""

SECTIONS = (*SINGLE, *NAMED, "machines")


def check_sections(findings: Findings) -> PlantSettings:
    """Everything that is valid by itself; what is not is in the findings."""
    present = findings.keys(())
    for key in present:
        if key not in SECTIONS:
            findings.add(f"unknown key{nearest(key, SECTIONS)}", (key,), at_key=True)
    plant = findings.settings(PlantSection, ("plant",)) if "plant" in present else None
    if "plant" not in present and not meant("plant", present):
        findings.add("is missing; expected plant: {name: …, timezone: Europe/Stockholm, currency: SEK}", ("plant",))
    tags, meters = _tags(findings)
    return PlantSettings(
        plant=plant or PlantSection(name="?"),
        ledger=findings.settings(LedgerSettings, ("ledger",)) or LedgerSettings(),
        parties=_named(findings, "parties", PartySettings),
        accounts=_named(findings, "accounts", AccountSettings),
        machines=_machines(findings, tags, meters),
        tags=tags,
        meters=meters,
        prices=_named(findings, "prices", PriceSettings),
        tariffs=_named(findings, "tariffs", TariffSettings),
        agreements=_named(findings, "agreements", AgreementSettings),
        opcua=findings.settings(OpcUaServerSettings, ("opcua",)) or OpcUaServerSettings(),
        users=_named(findings, "users", UserSettings),
    )


def _named(findings: Findings, section: str, model: type[M]) -> dict[str, M]:
    _, pattern, example = NAMED[section]
    found = {}
    for name in findings.keys((section,), pattern, example):
        settings = findings.settings(model, (section, name))
        if settings is not None:
            found[name] = settings
    return found


def _tags(findings: Findings) -> tuple[dict[TagId, TagSettings], dict[TagId, MeterSettings]]:
    """The valid tags and meters of all machines."""
    tags: dict[TagId, TagSettings] = {}
    meters: dict[TagId, MeterSettings] = {}
    for machine in findings.document.entries(("machines",)):
        kind = next((KINDS[key] for key in findings.document.entries(("machines", machine)) if key in KINDS), None)
        for name in findings.keys(("machines", machine, "tags"), NAME, "odometer"):
            path = ("machines", machine, "tags", name)
            content = findings.document.data(path)
            if isinstance(content, dict):
                content = {key: value for key, value in content.items() if key not in METERS}
            if kind is not None and (tag := findings.settings(kind.tag, path, content, known=METERS)) is not None:
                tags[tag_id(machine, name)] = cast(TagSettings, tag)
            if (meter := _meter(findings, path)) is not None:
                meters[tag_id(machine, name)] = meter
    return tags, meters


def _meter(findings: Findings, tag: Steps) -> MeterSettings | None:
    keys = [key for key in findings.document.entries(tag) if key in METERS]
    for extra in keys[1:]:
        findings.add(f"stands beside {keys[0]}; a tag has one meter", (*tag, extra), at_key=True)
    found = [findings.settings(METERS[key], (*tag, key)) for key in keys]
    return found[0] if found else None


def _machines(
    findings: Findings, tags: Mapping[TagId, TagSettings], meters: Mapping[TagId, MeterSettings]
) -> dict[str, Machine]:
    found = {}
    for id in findings.keys(("machines",), ID, "agv-7"):
        names = findings.document.entries(("machines", id, "tags"))
        of_machine = {name: tag_id(id, name) for name in names}
        machine = _machine(
            findings,
            id,
            {name: tags[tag] for name, tag in of_machine.items() if tag in tags},
            {name: meters[tag] for name, tag in of_machine.items() if tag in meters},
        )
        if machine is not None:
            found[id] = machine
    return found


def _machine(
    findings: Findings, id: str, tags: Mapping[str, TagSettings], meters: Mapping[str, MeterSettings]
) -> Machine | None:
    """A machine with those of its tags that are valid; None when it cannot be said how to reach it."""
    path: Steps = ("machines", id)
    keys = findings.keys(path)
    if not isinstance(findings.document.data(path), dict | None):
        return None
    content = {key: findings.document.data((*path, key)) for key in keys if key not in KINDS and key != "tags"}
    section = findings.settings(MachineSection, path, content, known=("tags", *KINDS)) or MachineSection()
    kinds = [key for key in keys if key in KINDS]
    for extra in kinds[1:]:
        findings.add(f"stands beside {kinds[0]}; a machine has one connector", (*path, extra), at_key=True)
    if not kinds:
        findings.add(f"has no connector; expected {' or '.join(f'{kind}:' for kind in KINDS)}", path, at_key=True)
        return None
    kind = KINDS[kinds[0]]
    connection = findings.settings(kind.settings, (*path, kind.name))
    if connection is None:
        return None
    connection = _beside_file(findings, connection)
    for problem in kind.check(connection, tags):
        findings.add(problem.message, (*path, *problem.path.split(".")))
    return Machine(id, section.name or id, section.identification, kind, connection, tags, meters)


def _beside_file(findings: Findings, connection: BaseModel) -> BaseModel:
    """The same connection, its password file looked for beside the plant's file."""
    password_file = getattr(connection, "password_file", None)
    if password_file is None:
        return connection
    return connection.model_copy(update={"password_file": findings.document.folder / password_file})
