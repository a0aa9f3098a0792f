"""Every constructor call on one screen: from a checked plant to a gateway that can run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import settlement.verification
from app.couriers import Couriers
from app.gateway import Gateway, Parts
from app.jobs import Jobs
from app.pipeline import Pipeline
from config.plant import Plant
from connectors.poller import Poller
from core.clock import Clock, SystemClock
from core.errors import Misconfigured, Problem
from core.sample import tag_id
from ledger import archived
from ledger.courier import BookAt, Courier
from ledger.database import Engine as DatabaseEngine
from ledger.database import open_engine, sqlite_path
from ledger.database_lock import DatabaseLock
from ledger.desk import Desk
from ledger.feed import ChangeFeed
from ledger.follower import Follower
from ledger.operations import Reader
from ledger.settings import PASSWORD_VARIABLE, with_password
from ledger.writer import Writer
from migrations import check, upgrade
from opcua_server import address_space
from opcua_server.address_space import MachineNode, TagNode, ValueType
from opcua_server.security import load_users
from opcua_server.server import BankServer
from settlement.charge import Conditions
from settlement.engine import Engine as Settling

AUDITORS = (settlement.verification.verify,)

OTHER_TYPES = {"bool": ValueType.BOOLEAN, "text": ValueType.STRING}
WHOLE_TYPES = ("int16", "uint16", "int32", "uint32", "int64")


@contextmanager
def gateway(plant: Plant, data: Path | None, clock: Clock | None = None) -> Iterator[Gateway]:
    """A gateway on the plant's ledger, which nobody else settles into meanwhile. Called in the loop it will run in."""
    clock = clock or SystemClock()
    folder = data_directory(plant, data)
    users = load_users(plant.users, folder, os.environ)
    url = ledger_url(plant, data)
    lock = DatabaseLock(url, plant.ledger.gateway)
    lock.acquire()
    engine = open_ledger(plant, data, url)
    try:
        upgrade(engine)
        feed = ChangeFeed(asyncio.get_running_loop())
        book = plant.ledger.book
        writer = Writer(engine, book, clock, feed.offer)
        reader = Reader(engine, book, AUDITORS)
        desk = Desk(writer, reader)
        server = BankServer(plant.opcua, users, shown_plant(plant), desk, clock)
        settling = Settling(
            book,
            list(plant.meters.values()),
            list(plant.agreements.values()),
            Conditions({}, plant.prices, plant.zone),
            plant.ledger.gateway,
        )
        pipeline = Pipeline(settling, writer, desk, feed, server, book, lock)
        at = BookAt(engine, book)
        couriers = Couriers({other: Courier(BookAt(engine, other), at, writer) for other in plant.ledger.pays})
        pollers = [
            Poller(
                machine.id,
                machine.kind.build(machine.id, machine.connection, machine.tags, clock),
                [tag_id(machine.id, tag) for tag in machine.tags],
                pipeline.deliver,
                clock,
            )
            for machine in plant.machines.values()
        ]
        yield Gateway(
            Parts(
                parties=list(plant.parties.values()),
                accounts=[*plant.accounts.values(), *plant.accounts_for_books],
                agreed_links=[(agreed.payer, agreed.payee) for agreed in plant.agreements.values()],
                machine_of=plant.machine_of,
                writer=writer,
                reader=reader,
                feed=feed,
                follower=Follower(engine, reader, feed.offer, couriers.heard_of),
                couriers=couriers,
                server=server,
                settling=settling,
                pipeline=pipeline,
                pollers=pollers,
                jobs=Jobs(pipeline, desk, reader, plant.zone),
                clock=clock,
            )
        )
    finally:
        engine.dispose()
        lock.release()


def reader(plant: Plant, data: Path | None, url: str | None = None) -> Reader:
    """The plant's ledger, or a copy of it at another `url`, to read beside whoever writes it; Misconfigured when there
    is none yet."""
    url = ledger_url(plant, data) if url is None else with_password(url, os.environ.get(PASSWORD_VARIABLE, ""))
    return Reader(_opened(plant, data, url), plant.ledger.book, AUDITORS)


def books(plant: Plant, data: Path | None) -> dict[str, BookAt]:
    """The plant's book and those that it pays, by name, to read beside whoever writes them; Misconfigured as above."""
    engine = _opened(plant, data, ledger_url(plant, data))
    return {name: BookAt(engine, name) for name in (plant.ledger.book, *plant.ledger.pays)}


def _opened(plant: Plant, data: Path | None, url: str) -> DatabaseEngine:
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise Misconfigured([Problem(f"no ledger at {path}; run the plant first, or name its folder with --data")])
    engine = open_ledger(plant, data, url)
    check(engine)
    return engine


def open_ledger(plant: Plant, data: Path | None, url: str) -> DatabaseEngine:
    """The database at this url, with the plant's archives."""
    engine = open_engine(url)
    archived.keep_in(engine, archive_folder(plant, data))
    return engine


def archive_folder(plant: Plant, data: Path | None) -> Path:
    """Where archived months are: as the file says and beside it, or in the folder `data` when that is given."""
    if plant.ledger.archive is None:
        return (data_directory(plant, data) / archived.FOLDER).resolve()
    path = Path(plant.ledger.archive)
    return (plant.folder / path if data is None or path.is_absolute() else data / path.name).resolve()


def ledger_url(plant: Plant, data: Path | None) -> str:
    """Where the ledger is: as the file says and beside it, or in the folder `data` when that is given.

    With the password of a PostgreSQL in it: not for printing.
    """
    path = sqlite_path(plant.ledger.url)
    if path is None:
        return with_password(plant.ledger.url, os.environ.get(PASSWORD_VARIABLE, ""))
    return f"sqlite:///{(plant.folder / path if data is None else data / path.name).resolve()}"


def data_directory(plant: Plant, data: Path | None) -> Path:
    """Where the password files are, and a ledger that is a file."""
    path = sqlite_path(ledger_url(plant, data))
    if path is not None:
        return path.parent
    return plant.folder / "data" if data is None else data


def shown_plant(plant: Plant) -> address_space.Plant:
    """The plant as OPC UA clients see it."""
    account_of = {machine: account for account, machine in plant.machine_of.items()}
    machines = [
        MachineNode(
            id=machine.id,
            name=machine.name,
            tags=[TagNode(name, shown_type(tag), tag.unit) for name, tag in machine.tags.items()],
            manufacturer=machine.identification.manufacturer,
            model=machine.identification.model,
            serial=machine.identification.serial,
            account=account_of.get(machine.id),
        )
        for machine in plant.machines.values()
    ]
    owners = {party.id: party.name for party in plant.parties.values()}
    return address_space.Plant(plant.name, machines, owners)


def shown_type(tag: Any) -> ValueType:
    """A tag's type on screen: whole numbers where its register gives no others."""
    type_ = str(getattr(tag, "type", ""))
    if type_ in OTHER_TYPES:
        return OTHER_TYPES[type_]
    whole = all(number == number.to_integral_value() for number in (tag.scale, tag.offset))
    return ValueType.INT64 if type_ in WHOLE_TYPES and whole else ValueType.DOUBLE
