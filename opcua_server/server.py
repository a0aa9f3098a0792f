"""The bank as an OPC UA server: builds the nodes, shows the ledger's truth, then opens the endpoint."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

import structlog
from asyncua import ua

from core.clock import Clock, to_datetime
from core.errors import InvariantBroken, Misconfigured, Problem
from ledger.balance import AccountStatus
from opcua_server.address_space import NAMESPACE_URI, Plant, nodes
from opcua_server.methods import PaymentDesk, PaymentMethods
from opcua_server.nodes import NAMESPACE_INDEX, add_nodes
from opcua_server.publisher import LedgerStatus, Publisher
from opcua_server.security import Passwords, User
from opcua_server.sessions import BankUaServer
from opcua_server.settings import OpcUaServerSettings

_log = structlog.get_logger()


class BankServer:
    """Accounts and machines of one plant on one endpoint. Starts once, stops once."""

    def __init__(
        self, settings: OpcUaServerSettings, users: Sequence[User], plant: Plant, payments: PaymentDesk, clock: Clock
    ) -> None:
        self._settings = settings
        self._plant = plant
        self._clock = clock
        self._methods = PaymentMethods(payments, clock)
        self._server = BankUaServer(Passwords(users))
        self._started = False
        self.publisher = Publisher(self._server, plant, clock)

    @property
    def endpoint(self) -> str:
        """Where clients connect; the real port when the settings asked for port 0."""
        listening = self._server.bserver
        if listening is None or self._settings.port:
            return self._settings.endpoint
        return re.sub(r":0(?=/|$)", f":{listening.port}", self._settings.endpoint, count=1)

    async def start(self, accounts: Sequence[AccountStatus], ledger: LedgerStatus | None = None) -> None:
        """Build the nodes, show the ledger as it is, open the endpoint. Misconfigured when it cannot be had."""
        _quieten()
        if not self._settings.on_loopback:
            _log.warning("passwords and values cross the network unencrypted", endpoint=self._settings.endpoint)
        with self._endpoint_errors():  # before seconds of building
            await self._server.try_endpoint(self._settings.host, self._settings.port)
        await self._prepare()
        await add_nodes(
            self._server, nodes(self._plant, [status.account for status in accounts]), self._methods.callbacks()
        )
        await self.publisher.begin(accounts, ledger)
        with self._endpoint_errors():
            await self._server.start()
        self._started = True
        _log.info("opc ua server listening", endpoint=self.endpoint, accounts=len(accounts))

    async def stop(self) -> None:
        """Close the endpoint and every session. Does nothing when the server never started."""
        if self._started:
            self._started = False
            await self._server.stop()

    @contextmanager
    def _endpoint_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            advice = "is another server running there? Stop it, or choose another host or port"
            message = f"cannot listen on {self._settings.endpoint}: {reason}; {advice}"
            raise Misconfigured([Problem(message, path="opcua.endpoint")]) from error

    async def _prepare(self) -> None:
        server = self._server
        name = re.sub(r"[^a-z0-9]+", "-", self._plant.name.lower()).strip("-") or "plant"
        server.name = "Myntverk"
        server.manufacturer_name = "Myntverk"
        server.product_uri = "urn:myntverk"
        server.application_type = ua.ApplicationType.Server
        server.set_endpoint(self._settings.endpoint)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        tokens: list[type] = [ua.UserNameIdentityToken]
        if self._settings.anonymous == "read":
            tokens.append(ua.AnonymousIdentityToken)
        server.set_identity_tokens(tokens)
        await server.init()
        await server.set_application_uri(f"urn:myntverk:gateway:{name}")
        await server.set_build_info(
            "urn:myntverk", "Myntverk", "Myntverk", _version(), "", to_datetime(self._clock.now())
        )
        index = await server.register_namespace(NAMESPACE_URI)
        if index != NAMESPACE_INDEX:
            raise InvariantBroken(f"namespace {NAMESPACE_URI} came to index {index}, not {NAMESPACE_INDEX}")


def _version() -> str:
    try:
        return version("myntverk")
    except PackageNotFoundError:
        return "unknown"


def _quieten() -> None:
    """asyncua tells of every request at INFO, and of every refused one at ERROR: those are the client's to handle."""
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    logging.getLogger("asyncua.server.server").setLevel(logging.ERROR)
    logging.getLogger("asyncua.server.uaprocessor").addFilter(_not_a_service_fault)


def _not_a_service_fault(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("sending service fault")
