"""Agreements: whether their accounts, meters and tariffs fit together, and what each name of a tariff stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.findings import Findings
from config.reader import Steps
from config.references import account_currency
from config.sections import PlantSettings
from config.wording import nearest, shown
from core.money import Currency
from core.quantity import Unit
from core.sample import TagId, tag_id
from ledger.account import AccountState
from settlement.agreement import Agreement, Source, SourceKind
from settlement.meter import Meter
from settlement.names import TIME_NAMES, Name, NameKind
from settlement.settings import METERS, TAG_PATTERN, AgreementSettings
from settlement.tariff import Tariff, TariffProblem, compile_tariff


@dataclass(slots=True)
class _Names:
    """What a tariff may say in one agreement. `broken` are names whose own settings are wrong: no unit is known."""

    names: dict[str, Name] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def find(self, identifier: str) -> Name | None:
        if identifier in self.broken:
            raise _BrokenName
        return self.names.get(identifier)

    def put(self, identifier: str, name: Name | None, source: Source) -> None:
        if name is None:
            self.broken.add(identifier)
            return
        self.broken.discard(identifier)
        self.names[identifier], self.sources[identifier] = name, source


class _BrokenName(Exception):
    """A tariff cannot be checked now: a name in it stands for something that is itself wrong."""


class _Agreements:
    def __init__(
        self, findings: Findings, settings: PlantSettings, meters: Mapping[TagId, Meter], prices: Mapping[str, Unit]
    ) -> None:
        self._findings = findings
        self._settings = settings
        self._meters = meters
        self._prices = prices
        self._of_tariff: dict[str, dict[TariffProblem, list[str]]] = {}

    def check(self) -> dict[str, Agreement]:
        found = {}
        for id in self._findings.document.entries(("agreements",)):
            path = ("agreements", id)
            refers, document = self._findings.refers, self._findings.document
            has_accounts = [refers((*path, end), ("accounts",), "account") for end in ("from", "to")]
            has_tariff = refers((*path, "tariff"), ("tariffs",), "tariff")
            is_metered = self._tag((*path, "meter"), metered=True)
            inputs = {name: self._tag((*path, "inputs", name)) for name in document.entries((*path, "inputs"))}
            agreement = self._settings.agreements.get(id)
            if agreement is None:
                continue
            self._is_open(path, agreement)
            currency = self._currency(path, agreement) if all(has_accounts) else self._settings.plant.currency
            names = self._names(path, agreement, inputs) if is_metered else None
            if names is None or currency is None or not has_tariff or agreement.tariff not in self._settings.tariffs:
                continue
            tariff = self._tariff(id, agreement, names, currency)
            if tariff is not None:
                sources = {name: names.sources.get(name) or Source(SourceKind.TIME, name) for name in tariff.inputs}
                found[id] = Agreement(id, agreement.payer, agreement.payee, currency, tariff, sources)
                self._uses_meter(found[id], agreement)
        self._report()
        return found

    def _is_open(self, path: Steps, agreement: AgreementSettings) -> None:
        for end, id in (("from", agreement.payer), ("to", agreement.payee)):
            account = self._settings.accounts.get(id)
            if account is not None and account.state is AccountState.CLOSED:
                self._findings.add(f"account {shown(id)} is closed; nothing moves on it", (*path, end))

    def _currency(self, path: Steps, agreement: AgreementSettings) -> Currency | None:
        """The one that payer and payee hold; None when they are not two accounts of one currency."""
        if agreement.payer == agreement.payee:
            self._findings.add(f"{shown(agreement.payee)} is the account that pays; expected another", (*path, "to"))
            return None
        accounts = self._settings.accounts
        of_plant = self._settings.plant.currency
        held = [
            account_currency(accounts[end], of_plant) for end in (agreement.payer, agreement.payee) if end in accounts
        ]
        if len(set(held)) > 1:
            text = f"{agreement.payer} holds {held[0]}, {agreement.payee} {held[1]}; expected one currency"
            self._findings.add(text, (*path, "to"))
            return None
        return held[0] if held else of_plant

    def _tag(self, path: Steps, *, metered: bool = False) -> bool:
        """Whether the `machine.tag` there is in the file, and has a meter when one is needed."""
        tag, entries = self._findings.document.data(path), self._findings.document.entries
        if not isinstance(tag, str) or not re.fullmatch(TAG_PATTERN, tag):
            return False
        machine, _, name = tag.partition(".")
        machines, tags = entries(("machines",)), ("machines", machine, "tags")
        if machine not in machines:
            self._findings.add(f"unknown machine {shown(machine)}{nearest(machine, machines)}", path)
            return False
        if name not in entries(tags):
            hint = nearest(name, entries(tags))
            self._findings.add(f"machine {shown(machine)} has no tag {shown(name)}{hint}", path)
            return False
        if metered and not METERS.keys() & set(entries((*tags, name))):
            with_meter = [each for each in entries(tags) if METERS.keys() & set(entries((*tags, each)))]
            hint = nearest(name, with_meter) or f"; give it one of {', '.join(METERS)}"
            self._findings.add(f"tag {shown(name)} has no meter{hint}", path)
            return False
        return True

    def _names(self, path: Steps, agreement: AgreementSettings, inputs: Mapping[str, bool]) -> _Names:
        """Prices, the tags of the meter's machine (a tag hides a price of the same name), and inputs."""
        names = _Names()
        for price in self._findings.document.entries(("prices",)):
            unit = self._prices.get(price)
            name = None if unit is None else Name(NameKind.VALUE, unit)
            names.put(price, name, Source(SourceKind.PRICE, price))
        machine = agreement.meter.partition(".")[0]
        for tag in self._findings.document.entries(("machines", machine, "tags")):
            names.put(tag, *self._meaning(tag_id(machine, tag)))
        for input, tag in agreement.inputs.items():
            if input in names.names or input in names.broken or input in TIME_NAMES:
                at = (*path, "inputs", input)
                self._findings.add(f"{input!r} already names a tag, a price or a time", at, at_key=True)
            elif inputs[input]:
                names.put(input, *self._meaning(TagId(tag)))
            else:
                names.broken.add(input)
        return names

    def _meaning(self, tag: TagId) -> tuple[Name | None, Source]:
        """Usage for a tag with a meter, the newest value for one without; no name when the tag itself is wrong."""
        machine, _, name = tag.partition(".")
        if METERS.keys() & set(self._findings.document.entries(("machines", machine, "tags", name))):
            meter = self._meters.get(tag)
            return (None if meter is None else Name(NameKind.USAGE, meter.unit)), Source(SourceKind.METER, tag)
        settings = self._settings.tags.get(tag)
        return (None if settings is None else Name(NameKind.VALUE, settings.unit)), Source(SourceKind.TAG, tag)

    def _tariff(self, id: str, agreement: AgreementSettings, names: _Names, currency: Currency) -> Tariff | None:
        name = agreement.tariff
        try:
            tariff, problems = compile_tariff(
                name, self._settings.tariffs[name], names.find, currency, [*names.names, *names.broken]
            )
        except _BrokenName:
            return None
        for problem in problems:
            self._of_tariff.setdefault(name, {}).setdefault(problem, []).append(id)
        return tariff

    def _uses_meter(self, agreement: Agreement, settings: AgreementSettings) -> None:
        if TagId(settings.meter) in agreement.meters:
            return
        used = ", ".join(agreement.meters) or "no meter"
        text = f"tariff {shown(settings.tariff)} does not use {settings.meter}; it uses {used}"
        self._findings.add(text, ("agreements", agreement.id, "meter"))

    def _report(self) -> None:
        """What is wrong with a tariff, once for all agreements; which of them, when others use it well."""
        for name, problems in self._of_tariff.items():
            users = [id for id, agreement in self._settings.agreements.items() if agreement.tariff == name]
            for problem, agreements in problems.items():
                where = "" if len(agreements) == len(users) else f" (in agreement {', '.join(agreements)})"
                self._findings.add_at_column(
                    f"{problem.message}{where}", self._place(name, problem.key), problem.column
                )

    def _place(self, name: str, key: str) -> Steps:
        """Where `charge` or `examples[0]` of a tariff stands; a tariff may be its charge alone."""
        path = ("tariffs", name)
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", key)]
        return (*path, *steps) if self._findings.document.entries(path) else path


def check_agreements(
    findings: Findings, settings: PlantSettings, meters: Mapping[TagId, Meter], prices: Mapping[str, Unit]
) -> dict[str, Agreement]:
    """Every agreement that fits, ready to be settled; `prices` are their units."""
    return _Agreements(findings, settings, meters, prices).check()
