"""What stock asyncua 2.1.0 leaves open stays closed: a test for each gap."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asyncua import Client, Node, ua
from asyncua.ua.uaerrors import (
    BadIdentityChangeNotSupported,
    BadMessageNotAvailable,
    BadNoSubscription,
    BadServiceUnsupported,
    BadSessionIdInvalid,
    BadSubscriptionIdInvalid,
    BadUserAccessDenied,
)

from opcua_server.security import Caller, Passwords
from tests.unit.opcua_server.bank import Bank, status, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE = "ns=2;s=Accounts.agv-7.Balance"


class Changes:
    """Collects what a subscription delivers."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        self.values.append(value)


@asynccontextmanager
async def channel(bank: Bank) -> AsyncIterator[Client]:
    """A stranger's secure channel, without a session."""
    client = bank.client()
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        yield client
    finally:
        client.disconnect_socket()


@asynccontextmanager
async def subscribed(client: Client) -> AsyncIterator[int]:
    """A subscription to a balance that has delivered its first value; gives its id."""
    changes = Changes()
    subscription = await client.create_subscription(20, changes)
    await subscription.subscribe_data_change(client.get_node(BALANCE))
    await until(lambda: bool(changes.values))
    yield subscription.subscription_id


# Tokens


async def test_session_tokens_cannot_be_guessed(bank: Bank) -> None:
    async with bank.client() as one, bank.client() as other:
        tokens = [client.uaclient.session.authentication_token.Identifier for client in (one, other)]
    assert all(isinstance(token, bytes) and len(token) == 32 for token in tokens)
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize("token", [ua.NodeId(), ua.NodeId(1001), ua.NodeId(b"x" * 32)])
async def test_a_request_without_its_sessions_token_is_refused(bank: Bank, token: ua.NodeId) -> None:
    async with bank.client("anna") as client:
        own = client.uaclient.session.authentication_token
        client.uaclient.session.restore_authentication_token(token)
        with pytest.raises(BadSessionIdInvalid):
            await client.get_node(BALANCE).read_value()
        client.uaclient.session.restore_authentication_token(own)
        await client.get_node(BALANCE).read_value()


async def test_counting_through_tokens_finds_no_session(bank: Bank) -> None:
    async with bank.client("anna"), channel(bank) as stranger:
        for number in range(1_000, 1_200):
            stranger.uaclient.session.restore_authentication_token(ua.NodeId(number))
            with pytest.raises(BadSessionIdInvalid):
                await stranger.activate_session()


async def test_even_with_its_token_a_session_is_not_taken_over_by_another_user(bank: Bank) -> None:
    async with bank.client("anna") as client, channel(bank) as stranger:
        stranger.uaclient.session.restore_authentication_token(client.uaclient.session.authentication_token)
        with pytest.raises(BadIdentityChangeNotSupported):
            await stranger.activate_session()
        with pytest.raises(BadUserAccessDenied):
            await stranger.activate_session(username="anna", password="wrong")
        with pytest.raises(BadUserAccessDenied):
            await stranger.get_node(BALANCE).read_value()


async def test_its_own_user_takes_a_session_to_a_new_channel(bank: Bank) -> None:
    async with bank.client("anna") as client, channel(bank) as same:
        same.uaclient.session.restore_authentication_token(client.uaclient.session.authentication_token)
        await same.activate_session(username="anna", password="anna-secret")
        assert isinstance(await same.get_node(BALANCE).read_value(), float)


async def test_a_stranger_fills_the_server_with_no_sessions(bank: Bank) -> None:
    sessions = bank.server._server.iserver._external_sessions
    before = len(sessions)
    async with channel(bank) as stranger:
        for _ in range(5):
            await stranger.create_session()
        assert len(sessions) == before + 1
    await until(lambda: len(sessions) == before)


# Users


@pytest.mark.parametrize(
    ("user", "password"), [("anna", "wrong"), ("admin", "anything"), ("Admin", ""), ("nobody", "nobody-secret")]
)
async def test_a_wrong_login_is_refused(bank: Bank, user: str, password: str) -> None:
    with pytest.raises(BadUserAccessDenied):
        async with bank.client(user, password or " "):
            pass


async def test_passwords_are_verified_beside_the_event_loop(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    verify = Passwords.verify

    def noticed(self: Passwords, name: str, password: str) -> Caller | None:
        threads.append(threading.current_thread())
        return verify(self, name, password)

    monkeypatch.setattr(Passwords, "verify", noticed)
    async with bank.client("anna"):
        pass
    assert threads
    assert threading.current_thread() not in threads


async def test_nobody_writes_a_balance(bank: Bank) -> None:
    for user in ("", "anna"):
        async with bank.client(user) as client:
            with pytest.raises(BadUserAccessDenied):
                await client.get_node(BALANCE).write_value(1e6)


async def test_nobody_without_a_name_writes_even_what_is_writable(bank: Bank) -> None:
    """Node handshakes will be writable; until then one node is made so here."""
    node = bank.server._server.get_node("ns=2;s=Ledger.Book")
    await node.set_writable()
    try:
        async with bank.client() as client:
            with pytest.raises(BadUserAccessDenied):
                await client.get_node(node.nodeid).write_value("mine")
    finally:
        await node.set_read_only()


async def test_nobody_changes_the_address_space(bank: Bank) -> None:
    async with bank.client("anna") as client:
        with pytest.raises(BadUserAccessDenied):
            await client.nodes.objects.add_object(2, "Mine")
        with pytest.raises(BadUserAccessDenied):
            await client.delete_nodes([client.get_node(BALANCE)])


async def test_strangers_register_no_servers(bank: Bank) -> None:
    server = ua.RegisteredServer()
    server.ServerUri = "urn:stranger"
    server.ServerNames = [ua.LocalizedText("stranger")]
    async with channel(bank) as stranger:
        with pytest.raises(BadServiceUnsupported):
            await stranger.uaclient.register_server(server)
        with pytest.raises(BadServiceUnsupported):
            await stranger.uaclient.register_server2(ua.RegisterServer2Parameters(server))
        found = await stranger.find_servers()
    assert [description.ApplicationUri for description in found] == ["urn:myntverk:gateway:smarta-fabriken"]


# Subscriptions


async def test_a_message_is_sent_again_until_it_is_acknowledged(bank: Bank) -> None:
    async with bank.client() as client, subscribed(client) as id:
        kept = bank.server._server.iserver.subscription_service.subscriptions[id]._not_acknowledged_results
        client.uaclient.session._publish_task.cancel()  # it would acknowledge
        await bank.server.publisher.publish_accounts([status("agv-7", "777 kr", seq=50)])
        await until(lambda: bool(kept))
        number = next(reversed(kept))
        for _ in range(2):
            message = await client.uaclient.session.republish(id, number)
            assert message.SequenceNumber == number


async def test_asking_again_for_what_is_gone_says_that_it_is_gone(bank: Bank) -> None:
    async with bank.client() as client, subscribed(client) as id:
        with pytest.raises(BadMessageNotAvailable):
            await client.uaclient.session.republish(id, 4_000)
        with pytest.raises(BadSubscriptionIdInvalid):
            await client.uaclient.session.republish(id + 1_000, 1)


async def test_a_subscription_exists_for_its_own_session_only(bank: Bank) -> None:
    async with bank.client("anna") as owner, bank.client("cia") as other, subscribed(owner) as id:
        session = other.uaclient.session
        assert [code.name for code in await session.delete_subscriptions([id])] == ["BadSubscriptionIdInvalid"]
        mode = await session.set_publishing_mode(ua.SetPublishingModeParameters(False, [id]))
        assert [code.name for code in mode] == ["BadSubscriptionIdInvalid"]
        with pytest.raises(BadSubscriptionIdInvalid):
            await session.create_monitored_items(ua.CreateMonitoredItemsParameters(SubscriptionId=id))
        with pytest.raises(BadSubscriptionIdInvalid):
            await session.modify_monitored_items(ua.ModifyMonitoredItemsParameters(SubscriptionId=id))
        with pytest.raises(BadSubscriptionIdInvalid):
            await session.delete_monitored_items(ua.DeleteMonitoredItemsParameters(SubscriptionId=id))
        with pytest.raises(BadSubscriptionIdInvalid):
            await session.republish(id, 1)
        with pytest.raises(BadNoSubscription):
            await session.publish([ua.SubscriptionAcknowledgement(id, 1)])
        (moved,) = await session.transfer_subscriptions(ua.TransferSubscriptionsParameters([id]))
        assert moved.StatusCode.name == "BadUserAccessDenied"
        assert id in bank.server._server.iserver.subscription_service.subscriptions


async def test_subscriptions_of_the_nameless_are_not_handed_over(bank: Bank) -> None:
    async with bank.client() as owner, bank.client() as other, subscribed(owner) as id:
        (moved,) = await other.uaclient.session.transfer_subscriptions(ua.TransferSubscriptionsParameters([id]))
    assert moved.StatusCode.name == "BadUserAccessDenied"


async def test_a_user_takes_a_subscription_along_and_gets_its_changes(bank: Bank) -> None:
    async with bank.client("anna") as owner, bank.client("anna") as other, subscribed(owner) as id:
        (moved,) = await other.uaclient.session.transfer_subscriptions(ua.TransferSubscriptionsParameters([id]))
        assert moved.StatusCode.is_good()
        await bank.server.publisher.publish_accounts([status("agv-7", "888 kr", seq=60)])
        async with asyncio.timeout(5):
            while True:
                response = await other.uaclient.session.publish([])
                data = response.Parameters.NotificationMessage.NotificationData
                if data and response.Parameters.SubscriptionId == id:
                    break
    assert [item.Value.Value.Value for item in data[0].MonitoredItems][-1] == 888.0
