"""Starting, stopping, and who may come in."""

from __future__ import annotations

import logging
import socket

import pytest
from asyncua import Client, ua
from structlog.testing import capture_logs

from core.errors import Misconfigured
from opcua_server.settings import OpcUaServerSettings
from tests.unit.opcua_server.bank import ACCOUNTS, Bank, make_bank

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_our_namespace_comes_right_after_the_servers_own(bank: Bank) -> None:
    async with bank.client() as client:
        namespaces = await client.get_namespace_array()
    assert namespaces[1:] == ["urn:myntverk:gateway:smarta-fabriken", "urn:myntverk:bank:1"]


async def test_people_find_accounts_and_machines_by_browsing(bank: Bank) -> None:
    async with bank.client() as client:
        account = await client.nodes.objects.get_child("2:Bank/2:Accounts/2:agv-7")
        tag = await client.nodes.objects.get_child("2:Machines/2:agv-7/2:Tags/2:odometer")
        title = await account.read_display_name()
    assert (account.nodeid.Identifier, title.Text) == ("Accounts.agv-7", "AGV-7")
    assert tag.nodeid.Identifier == "Machines.agv-7.Tags.odometer"


async def test_the_endpoint_offers_names_and_nothing_it_cannot_keep(bank: Bank) -> None:
    (endpoint,) = await Client(bank.server.endpoint).connect_and_get_server_endpoints()
    assert {policy.TokenType for policy in endpoint.UserIdentityTokens} == {
        ua.UserTokenType.Anonymous,
        ua.UserTokenType.UserName,
    }


async def test_asyncua_tells_nothing_of_every_request(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.NOTSET):
        async with bank.client() as client:
            await client.nodes.objects.get_children()
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await bank.client("anna", "wrong").connect()
    assert not [record for record in caplog.records if record.name.startswith("asyncua.server")]


async def test_a_port_in_use_is_told_with_what_to_do_and_leaves_nothing_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bank = make_bank(OpcUaServerSettings(endpoint=f"opc.tcp://127.0.0.1:{port}"))
        with pytest.raises(Misconfigured, match=f"cannot listen on opc.tcp://127.0.0.1:{port}.*another host or port"):
            await bank.server.start(ACCOUNTS)
        await bank.server.stop()


async def test_without_anonymous_only_users_come_in_and_the_network_is_warned_of() -> None:
    """Listens on every address, as a server in a container does, on a port that only this test knows."""
    bank = make_bank(OpcUaServerSettings(endpoint="opc.tcp://0.0.0.0:0", anonymous="no"))
    with capture_logs() as logs:
        await bank.server.start(ACCOUNTS)
    try:
        assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
            "passwords and values cross the network unencrypted"
        ]
        url = bank.server.endpoint.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(ua.uaerrors.BadIdentityTokenRejected):
            await Client(url).connect()
        client = Client(url)
        client.set_user("cia")
        client.set_password("cia-secret")
        async with client:
            balance = client.get_node("ns=2;s=Accounts.agv-7.Balance")
            assert await balance.read_value() == 250.5
            subscription = await client.create_subscription(20, None)
            await subscription.subscribe_data_change(balance)
            await bank.server.stop()
            assert not bank.server._server.iserver.subscription_service.subscriptions
    finally:
        await bank.server.stop()
