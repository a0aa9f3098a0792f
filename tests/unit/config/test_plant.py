"""What comes out of a file without mistakes."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from config.plant import Plant, load_plant
from connectors.settings import ModbusSettings
from core.clock import Instant
from core.errors import Misconfigured
from core.money import EUR, SEK, UNITS_MAX, Money
from core.quantity import UNITS
from core.sample import TagId
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, PartyId, no_floor
from settlement.agreement import Source, SourceKind
from settlement.meter import Counter, Edges, Integral, RunningTime

EXAMPLE = Path(__file__).parents[3] / "examples" / "factory.yaml"

PLANT = """
plant: {name: Smarta Fabriken, currency: SEK}
parties: {owner: {name: Ägaren AB}}
accounts:
  line: {owner: owner, name: Linje}
  cell: {owner: owner, name: Cell, machine: cell}
machines:
  cell:
    modbus: {host: 10.0.0.7}
    tags:
"""


def plant_of(tmp_path: Path, text: str) -> Plant:
    path = tmp_path / "factory.yaml"
    path.write_text(text, "utf-8")
    return load_plant(path)


def meter_of(tmp_path: Path, tag: str) -> object:
    return plant_of(tmp_path, f"{PLANT}      tag: {{{tag}}}\n").meters[TagId("cell.tag")]


def test_the_example_factory_has_no_problems() -> None:
    plant = load_plant(EXAMPLE)
    assert plant.name == "Smarta Fabriken"
    assert plant.zone.key == "Europe/Stockholm"
    assert len(plant.agreements) == 10
    assert plant.prices["spot"].price_at(Instant(0)) is not None


def test_an_account_is_what_the_ledger_opens() -> None:
    plant = load_plant(EXAMPLE)
    account = plant.accounts[AccountId("agv-7")]
    assert (account.name, account.owner, account.kind) == ("AGV 7", "movers", AccountKind.MACHINE)
    assert account.floor == Money.parse("-5000 kr")
    assert plant.accounts[AccountId("lessor")].floor == Money.zero(SEK)
    assert plant.accounts[AccountId("lessor")].kind is AccountKind.PARTY
    assert plant.machine_of == {name: name for name in ("facade-1", "agv-7", "warehouse", "robot-cell")}


def test_a_machine_has_what_its_connector_is_built_from() -> None:
    machine = load_plant(EXAMPLE).machines["agv-7"]
    assert (machine.name, machine.identification.serial, machine.kind.name) == ("AGV 7", "AGV-0007", "modbus")
    assert isinstance(machine.connection, ModbusSettings)
    assert machine.connection.every == timedelta(milliseconds=100)
    assert list(machine.tags) == ["odometer", "speed", "battery", "moving"]
    assert machine.tags["odometer"].scale == Decimal("0.01")
    assert list(machine.meters) == ["odometer"]


def test_each_name_of_a_tariff_has_its_source() -> None:
    agreements = load_plant(EXAMPLE).agreements
    assert agreements["wear"].sources == {
        "rpm": Source(SourceKind.TAG, "robot-cell.rpm"),
        "temperature": Source(SourceKind.TAG, "robot-cell.temperature"),
        "running": Source(SourceKind.METER, "robot-cell.running"),
    }
    assert agreements["electricity"].sources["spot"] == Source(SourceKind.PRICE, "spot")
    assert agreements["internal-transport"].sources["hour"] == Source(SourceKind.TIME, "hour")
    assert (agreements["sale"].payer, agreements["sale"].payee, agreements["sale"].currency) == (
        "customer",
        "line",
        SEK,
    )


def test_an_input_may_be_a_tag_of_another_machine(tmp_path: Path) -> None:
    plant = plant_of(
        tmp_path,
        f"""{PLANT}      parts: {{address: "input:1", type: uint32, unit: pieces, counter: {{}}}}
  weather:
    modbus: {{host: 10.0.0.8}}
    tags: {{outside: {{address: "input:1", type: int16, scale: 0.1, unit: °C}}}}
tariffs: {{warm: "9 * parts if outside < 25 else 10 * parts"}}
agreements: {{a: {{from: line, to: cell, meter: cell.parts, tariff: warm, inputs: {{outside: weather.outside}}}}}}
""",
    )
    assert plant.agreements["a"].sources["outside"] == Source(SourceKind.TAG, "weather.outside")


def test_a_counter_starts_over_where_its_register_does(tmp_path: Path) -> None:
    meter = meter_of(
        tmp_path,
        'address: "input:1", type: uint32, scale: 0.01, unit: m, counter: {max_rate: 10.8 km/h, confirm_reads: 3}',
    )
    assert meter == Counter(
        TagId("cell.tag"), UNITS["m"], Decimal(3), Decimal("42949672.96"), Decimal("0.01"), confirm_reads=3
    )


@pytest.mark.parametrize(
    ("tag", "modulus"),
    [
        ("type: uint16, counter: {}", Decimal(65536)),
        ("type: uint16, counter: {bits: 12}", Decimal(4096)),
        ("type: int32, counter: {}", None),
        ("type: float32, counter: {}", None),
        ("type: uint16, counter:", Decimal(65536)),
    ],
)
def test_bits_say_more_than_the_type(tmp_path: Path, tag: str, modulus: Decimal | None) -> None:
    meter = meter_of(tmp_path, f'address: "input:1", {tag} ')
    assert isinstance(meter, Counter)
    assert meter.modulus == modulus


def test_every_kind_of_meter_can_be_written(tmp_path: Path) -> None:
    tag = TagId("cell.tag")
    discrete = 'address: "discrete:10001", type: bool, '
    assert meter_of(tmp_path, discrete + "duration: {}") == RunningTime(tag, 10_000_000)
    assert meter_of(tmp_path, discrete + "event: {edge: both}") == Edges(tag, rising=True, falling=True)
    assert meter_of(tmp_path, discrete + "event: {edge: falling}") == Edges(tag, rising=False, falling=True)
    power = 'address: "input:1", type: uint16, unit: kW, integral: {max_gap: 1 min}'
    assert meter_of(tmp_path, power) == Integral(tag, UNITS["kW"], 60_000_000)


def test_an_account_takes_its_currency_from_itself_its_floor_or_the_plant(tmp_path: Path) -> None:
    accounts = plant_of(
        tmp_path,
        """
plant: {name: P, currency: EUR}
parties: {p: {name: P}}
accounts:
  plain: {owner: p, name: A}
  floor: {owner: p, name: A, floor: -10 kr}
  own: {owner: p, name: A, currency: SEK}
""",
    ).accounts
    assert {str(id): account.currency for id, account in accounts.items()} == {"plain": EUR, "floor": SEK, "own": SEK}


def test_an_account_says_what_it_is_for_and_what_it_may_hold(tmp_path: Path) -> None:
    accounts = plant_of(
        tmp_path,
        f"""{
            PLANT.replace(
                "machines:",
                '''
  giro:
    owner: owner
    name: Bankgiro
    kind: bank
    cost_centre: 1930
    labels: {bank: Banken, clearing number: 1.10}
  till: {owner: owner, name: Kassa, kind: bank, type: expense, floor: -100 kr, ceiling: 5000 kr}
  dollars: {owner: owner, name: Dollar, kind: trading, ceiling: 10 USD, floor: none}
  shelf: {owner: owner, name: Hylla, kind: buffer, machine: cell, ceiling: 0 kr, state: frozen}
machines:''',
            )
        }      parts: {{address: "input:1", type: uint32, unit: pieces, counter: {{}}}}
""",
    ).accounts
    owner = PartyId("owner")
    assert [accounts[AccountId(id)] for id in ("giro", "till", "dollars", "shelf")] == [
        Account(
            AccountId("giro"),
            "Bankgiro",
            owner,
            no_floor(SEK),
            AccountKind.BANK,
            AccountType.ASSET,
            cost_centre="1930",
            labels={"bank": "Banken", "clearing number": "1.10"},
        ),
        Account(
            AccountId("till"),
            "Kassa",
            owner,
            Money.parse("-100 kr"),
            AccountKind.BANK,
            AccountType.EXPENSE,
            Money.parse("5000 kr").units,
        ),
        Account(
            AccountId("dollars"),
            "Dollar",
            owner,
            no_floor(Money.parse("1 USD").currency),
            AccountKind.TRADING,
            AccountType.EQUITY,
            Money.parse("10 USD").units,
        ),
        Account(
            AccountId("shelf"),
            "Hylla",
            owner,
            Money.zero(SEK),
            AccountKind.BUFFER,
            AccountType.LIABILITY,
            0,
            state=AccountState.FROZEN,
        ),
    ]
    assert accounts[AccountId("line")].ceiling_units == UNITS_MAX


def test_a_book_opens_an_account_for_each_book_it_pays_in_each_currency_it_has(tmp_path: Path) -> None:
    text = """
plant: {name: P}
ledger: {book: hall-1, pays: [hall-2, hall-3], owner: maker}
parties: {maker: {name: M}, movers: {name: F}}
accounts: {a: {owner: movers, name: A}, b: {owner: movers, name: B, currency: EUR}}
"""
    plant = plant_of(tmp_path, text)
    opened = {account.id: account for account in plant.accounts_for_books}
    names = [
        f"{name}-{code}" for code in ("sek", "eur") for name in ("clearing-hall-2", "unclaimed", "clearing-hall-3")
    ]
    assert list(opened) == names
    assert {account.owner for account in opened.values()} == {"maker"}
    assert opened[AccountId("clearing-hall-3-eur")].kind is AccountKind.CLEARING
    assert list(plant.accounts) == ["a", "b"]
    assert plant_of(tmp_path, text.replace("pays: [hall-2, hall-3], ", "")).accounts_for_books == []


@pytest.mark.parametrize("kind", [kind for kind in AccountKind if kind is not AccountKind.CLEARING])
def test_only_mirrors_of_what_is_outside_pay_without_limit(tmp_path: Path, kind: AccountKind) -> None:
    text = f"plant: {{name: P}}\nparties: {{p: {{name: P}}}}\naccounts: {{a: {{owner: p, name: A, kind: {kind}}}}}\n"
    account = plant_of(tmp_path, text).accounts[AccountId("a")]
    assert account.has_floor == (kind in ("machine", "party", "buffer"))
    assert account.floor.units in (0, -UNITS_MAX)
    assert account.type is kind.usual_type


def test_as_many_labels_as_anyone_needs_and_no_more(tmp_path: Path) -> None:
    def labelled(count: int) -> str:
        labels = ", ".join(f"l{each}: x" for each in range(count))
        account = f"a: {{owner: p, name: A, labels: {{{labels}}}}}"
        return f"plant: {{name: P}}\nparties: {{p: {{name: P}}}}\naccounts: {{{account}}}"

    assert len(plant_of(tmp_path, labelled(32)).accounts[AccountId("a")].labels) == 32
    with pytest.raises(Misconfigured, match=r"3:\d+: accounts\.a\.labels: expected at most 32 labels, got 33"):
        plant_of(tmp_path, labelled(33))


def test_a_section_that_is_left_empty_is_no_problem(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, "plant: {name: Tom}\naccounts:\nmachines:\nledger:\n")
    assert (plant.accounts, plant.machines, plant.ledger.book) == ({}, {}, "main")


def test_numbers_are_fine_where_text_is_expected(tmp_path: Path) -> None:
    text = PLANT.replace("    tags:", "    identification: {serial: 1200, model: 1.10}\n    tags:")
    plant = plant_of(tmp_path, text)
    assert (plant.machines["cell"].identification.serial, plant.machines["cell"].identification.model) == (
        "1200",
        "1.10",
    )


def test_password_files_are_looked_for_beside_the_plant_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    text = (
        "plant: {name: P}\nmachines: {m: {opcua: {url: 'opc.tcp://10.0.0.8:4840', user: u, password_file: secret}}}\n"
    )
    connection = plant_of(tmp_path, text).machines["m"].connection
    assert connection.model_dump()["password_file"] == tmp_path / "secret"
    with pytest.raises(Misconfigured, match="2:"):
        plant_of(tmp_path, text.replace("secret", "sekret"))


def test_a_plant_of_a_thousand_machines_loads(tmp_path: Path) -> None:
    tags = "{a: &a {address: 'input:1', type: uint32, unit: m, counter: {max_rate: 3 m/s}}, b: *a, c: *a}"
    lines = ["plant: {name: Stor}", "parties: {p: {name: P}}", "tariffs: {t: 12 * a}", "accounts:"]
    lines += [f"  m-{i}: {{owner: p, name: M, machine: m-{i}}}" for i in range(1000)]
    lines += ["machines:", *(f"  m-{i}: {{modbus: {{host: h}}, tags: {tags}}}" for i in range(1000))]
    lines += ["agreements:"]
    lines += [f"  a-{i}: {{from: m-{i}, to: m-{i - 1}, meter: m-{i}.a, tariff: t}}" for i in range(1, 1000)]
    plant = plant_of(tmp_path, "\n".join(lines))
    assert (len(plant.machines), len(plant.meters), len(plant.agreements)) == (1000, 3000, 999)
