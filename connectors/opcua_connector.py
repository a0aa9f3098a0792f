"""Reads an OPC UA server by subscription. The only client use of asyncua."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from uuid import UUID

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.connector import Reading, bad
from connectors.opcua_node import NodeAddress
from connectors.repeater import Repeater
from connectors.scaling import Scale, decimal_of_float32, decimal_of_float64, unscaled
from connectors.settings import OpcUaSettings
from core.clock import Clock, Instant, from_datetime
from core.errors import Unavailable
from core.sample import Quality, TagId, Value

QUEUE_SIZE = 10
"""Changes of one node that the server keeps between two publishes."""
MESSAGES_MAX = 16
"""Publish messages kept for the reader; while it is full nothing is fetched, and the server's queues tell of loss."""
ITEMS_PER_REQUEST = 500
"""Many servers refuse larger messages."""
LOOK_SECONDS = 0.5
"""How often a quiet connection is looked at."""
ALIVE_SECONDS = 1.0
"""How often a quiet server is asked to prove that its subscription lives; each proof lets readings be repeated."""
RENEW_SHARE = 0.75
"""Of a channel's lifetime, after which it is renewed (Part 4, 5.5.2.1)."""
SESSION_SECONDS = 60
ASK_AGAIN_SECONDS = 10.0
"""For nodes that the server did not have."""
GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SubscribedTag:
    """One tag of an OPC UA server."""

    tag: TagId
    node: NodeAddress
    scale: Scale = unscaled


class OpcUaConnector:
    """One server over one session with one subscription. `read` waits for news, half a second at most.

    The server tells changes alone. While it proves that it is alive, `read` tells about once a second what did not
    change, so that whoever sums over time knows a steady machine from a lost one.
    """

    def __init__(self, machine: str, settings: OpcUaSettings, tags: Sequence[SubscribedTag], clock: Clock) -> None:
        self._where = f"{machine} at {settings.url}"
        self._settings = settings
        self._timeout_seconds = settings.timeout.total_seconds()
        self._tags = tuple(tags)
        self._clock = clock
        self._client: Client | None = None
        self._messages: asyncio.Queue[ua.PublishResult] = asyncio.Queue(MESSAGES_MAX)
        self._subscription = 0
        self._missing: Sequence[int] = ()
        """Tags, by their place, that the server refused to monitor; it may only be starting up."""
        self._refused: list[Reading] = []
        self._ask_again_at = 0.0
        self._repeater = Repeater(clock)
        self._sequence = 0
        """Number of the message that comes next; 0 before the first."""
        self._quiet_seconds = 0.0
        self._alive_seconds = 0.0
        self._renew_at = 0.0

    @property
    def every_seconds(self) -> None:
        return None

    async def connect(self) -> None:
        await self.close()
        self._messages = asyncio.Queue(MESSAGES_MAX)
        self._missing, self._refused = (), []
        self._quiet_seconds = 0.0
        client = Client(self._settings.url, timeout=self._timeout_seconds)
        client.name = client.description = "Myntverk"
        client.session_timeout = SESSION_SECONDS * 1000
        self._client = client
        try:
            async with self._translated("no connection"):
                await self._log_in(client)
                await self._subscribe(client)
                for index, why in await self._monitor(client, range(len(self._tags))):
                    tag = self._tags[index]
                    self._refused.append(bad(tag.tag, f"{tag.node}: {why}"))
        except BaseException:
            await self.close()
            raise

    async def read(self) -> list[Reading]:
        client = self._client
        if client is None:
            raise Unavailable(f"{self._where}: the connection is closed")
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        if self._clock.monotonic() >= self._renew_at:
            await self._renew(client)
        if self._missing and self._clock.monotonic() >= self._ask_again_at:
            async with self._translated("nodes not monitored"):
                await self._monitor(client, self._missing)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                messages = [await self._messages.get()]
        except TimeoutError:
            await self._look(client)
            return self._repeater.quiet()
        self._quiet_seconds = 0.0
        while not self._messages.empty():
            messages.append(self._messages.get_nowait())
        changes = (reading for message in messages for reading in self._readings(message))
        is_newest = len(messages) < MESSAGES_MAX and not messages[-1].MoreNotifications
        return self._repeater.heard(changes, newest=is_newest)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.uaclient.request_disconnect()
        with suppress(Exception):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await client.uaclient.close_session(True)
                await client.close_secure_channel()
        with suppress(Exception):
            client.disconnect_socket()

    async def _log_in(self, client: Client) -> None:
        """As Client.connect() does, without its watchdogs: `read` is the one place that notices a loss."""
        password_file = self._settings.password_file
        password = None if password_file is None else password_file.read_text().strip()
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        await client.create_session()
        await client.activate_session(username=self._settings.user, password=password)
        self._renew_later(client)

    async def _subscribe(self, client: Client) -> None:
        publishing_seconds = self._settings.publishing.total_seconds()
        alive_count = max(int(min(self._timeout_seconds / 3, ALIVE_SECONDS) / publishing_seconds), 1)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing_seconds * 1000,
            RequestedLifetimeCount=max(round(SESSION_SECONDS / publishing_seconds), 3 * alive_count),
            RequestedMaxKeepAliveCount=alive_count,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
            Priority=0,
        )
        created = await client.uaclient.create_subscription(parameters, self._messages.put)
        self._subscription = created.SubscriptionId
        publishing_seconds = created.RevisedPublishingInterval / 1000
        self._alive_seconds = publishing_seconds * created.RevisedMaxKeepAliveCount
        # Between rare proofs a repeat is sound only if a change would have been published before it.
        is_rare = self._alive_seconds > ALIVE_SECONDS >= publishing_seconds
        self._repeater = Repeater(self._clock, self._alive_seconds if is_rare else 0.0)
        self._sequence = 0

    async def _monitor(self, client: Client, indexes: Iterable[int]) -> list[tuple[int, str]]:
        """Ask for these tags' changes; the answer is the refused ones and why. They are asked for again later."""
        uris = await client.get_namespace_array()
        refused: list[tuple[int, str]] = []
        known: list[tuple[int, ua.NodeId]] = []
        for index in indexes:
            node = self._tags[index].node
            if node.uri is None:
                known.append((index, _node_id(node.identifier, node.index)))
            elif node.uri in uris:
                known.append((index, _node_id(node.identifier, uris.index(node.uri))))
            else:
                refused.append((index, f"the server has no namespace {node.uri}, it has {', '.join(uris)}"))
        for start in range(0, len(known), ITEMS_PER_REQUEST):
            part = known[start : start + ITEMS_PER_REQUEST]
            request = ua.CreateMonitoredItemsParameters(
                SubscriptionId=self._subscription,
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                ItemsToCreate=[self._item(index, node_id) for index, node_id in part],
            )
            results = await client.uaclient.create_monitored_items(request)
            refused += [
                (index, status_name(result.StatusCode.value))
                for (index, _), result in zip(part, results, strict=True)
                if not result.StatusCode.is_good()
            ]
        self._missing = [index for index, _ in refused]
        self._ask_again_at = self._clock.monotonic() + ASK_AGAIN_SECONDS
        return refused

    def _item(self, index: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
        """Ask for the value of a node; its notifications will carry `index`."""
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=index,
                SamplingInterval=self._settings.publishing.total_seconds() * 1000,
                QueueSize=QUEUE_SIZE,
                DiscardOldest=True,
            ),
        )

    def _readings(self, message: ua.PublishResult) -> Iterator[Reading]:
        notifications = message.NotificationMessage.NotificationData or ()
        self._count(message.NotificationMessage.SequenceNumber, is_alive_sign=not notifications)
        for notification in notifications:
            if isinstance(notification, ua.DataChangeNotification):
                for item in notification.MonitoredItems:
                    if item.ClientHandle < len(self._tags):
                        yield reading_of(self._tags[item.ClientHandle], item.Value)
            elif isinstance(notification, ua.StatusChangeNotification):
                ended = status_name(notification.Status.value)
                raise Unavailable(f"{self._where}: the server ended the subscription: {ended}")

    def _count(self, sequence: int, *, is_alive_sign: bool) -> None:
        """A keep-alive carries the number of the message to come (Part 4, 5.14.1.2): so a lost one shows."""
        if self._sequence and sequence > self._sequence:
            self._repeater.forget()
        self._sequence = sequence if is_alive_sign else sequence + 1

    async def _look(self, client: Client) -> None:
        """Nothing came for a while: is the server still there, and does it still publish?"""
        self._quiet_seconds += LOOK_SECONDS
        if client.state is not UaClientState.CONNECTED:
            raise Unavailable(f"{self._where}: connection lost")
        if self._quiet_seconds < min(self._timeout_seconds / 2, ALIVE_SECONDS):
            return
        if self._quiet_seconds > 3 * self._alive_seconds + self._timeout_seconds:
            # The session lives but its subscription does not: values would stay GOOD for ever.
            raise Unavailable(f"{self._where}: the subscription fell silent for {self._quiet_seconds:g} s")
        async with self._translated("no sign of life"), asyncio.timeout(self._timeout_seconds / 2):
            await client.uaclient.read_attributes([_SERVER_STATE], AttributeIds.Value)

    async def _renew(self, client: Client) -> None:
        async with self._translated("channel not renewed"), asyncio.timeout(self._timeout_seconds):
            await client.open_secure_channel(renew=True)
        client.uaclient.revolve_security_token()
        self._renew_later(client)

    def _renew_later(self, client: Client) -> None:
        lifetime_seconds = client.secure_channel_timeout / 1000
        self._renew_at = self._clock.monotonic() + RENEW_SHARE * lifetime_seconds

    @asynccontextmanager
    async def _translated(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except TimeoutError:
            raise Unavailable(f"{self._where}: {what} within {self._timeout_seconds:g} s") from None
        except UaStatusCodeError as error:
            raise Unavailable(f"{self._where}: {what}: {status_name(error.code)}") from error
        except (UaError, OSError) as error:
            raise Unavailable(f"{self._where}: {what}: {error}") from error


def _node_id(identifier: int | str | UUID | bytes, namespace: int = 0) -> ua.NodeId:
    make: Any = ua.NodeId  # its annotations ask for wire types that it does not need
    node: ua.NodeId = make(identifier, namespace)
    return node


_SERVER_STATE = _node_id(ObjectIds.Server_ServerStatus_State)

OVERFLOW = 0x0480
"""Info bits: it is a data value, and the queue in front of it ran over (Part 4, 7.39.1)."""
_INTEGERS = frozenset(
    {
        ua.VariantType.SByte,
        ua.VariantType.Byte,
        ua.VariantType.Int16,
        ua.VariantType.UInt16,
        ua.VariantType.Int32,
        ua.VariantType.UInt32,
        ua.VariantType.Int64,
        ua.VariantType.UInt64,
    }
)


def reading_of(tag: SubscribedTag, data: ua.DataValue) -> Reading:
    """A data value as a reading: quality by the severity bits (Part 4, 7.39.1), no value when it is not usable."""
    status = 0 if data.StatusCode is None else data.StatusCode.value
    at = _instant(data.SourceTimestamp)
    severity = status >> 30
    if severity >= 2:
        return bad(tag.tag, status_name(status), at)
    quality, reason = (Quality.UNCERTAIN, status_name(status)) if severity == 1 else (Quality.GOOD, "")
    if status & OVERFLOW == OVERFLOW:
        reason = "; ".join(filter(None, (reason, "data loss: the server's queue overflowed before this value")))
    try:
        return Reading(tag.tag, _value(data.Value, tag.scale), quality, at, reason)
    except ValueError as error:
        return bad(tag.tag, str(error), at)


def _value(variant: ua.Variant | None, scale: Scale) -> Value:
    """ValueError when it is not one number, bool or text."""
    if variant is None or variant.Value is None:
        raise ValueError("the server sent no value")
    value, type_ = variant.Value, variant.VariantType
    if isinstance(value, list):
        raise ValueError(f"expected one value, the node holds an array of {len(value)}")
    if type_ is ua.VariantType.Boolean:
        return bool(value)
    if type_ is ua.VariantType.String:
        return str(value)
    if type_ in _INTEGERS:
        return scale(int(value))
    if type_ not in (ua.VariantType.Float, ua.VariantType.Double):
        raise ValueError(f"expected a number, bool or text, the node holds a {type_.name}")
    if not isfinite(value):
        raise ValueError(f"expected a number, the node holds {value}")
    return scale(decimal_of_float32(value) if type_ is ua.VariantType.Float else decimal_of_float64(value))


def _instant(moment: datetime | None) -> Instant | None:
    """UTC; the protocol's zero, in 1601, means that there is none."""
    if moment is None or moment.year < 1970:
        return None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def status_name(status: int) -> str:
    """The status without its info bits, such as `BadNodeIdUnknown`."""
    name: str = ua.status_codes.get_name_and_doc(status & 0xFFFF0000)[0]
    return name
