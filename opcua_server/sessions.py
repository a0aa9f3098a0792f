"""What stock asyncua leaves open in sessions, closed by subclassing: the one seam, checked against asyncua 2.1.0.

Closed here: guessable session tokens that no request had to show, sessions that are never let go, callers unknown to
methods, calls by anyone on any object, subscriptions open to every session, Republish that answers Good for what is
gone, registration of servers by strangers, and passwords checked on the event loop.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server
from asyncua.server.subscription_service import SubscriptionService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary

from opcua_server.nodes import standard_node_id, ua_status
from opcua_server.security import ANONYMOUS, Caller, Passwords, Role

LOGINS_AT_ONCE_MAX = 2
"""Passwords under verification: each takes 64 MiB and a core for some tens of milliseconds."""

TOKEN_BYTES = 32

CALLER: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
"""Who calls the method that is running."""

_LOGIN: ContextVar[Caller | None] = ContextVar("login", default=None)

_log = structlog.get_logger()


def _encoding(service: str) -> ua.NodeId:
    return standard_node_id(getattr(ObjectIds, f"{service}Request_Encoding_DefaultBinary"))


_CREATE = _encoding("CreateSession")
_ACTIVATE = _encoding("ActivateSession")
_REFUSED = frozenset({_encoding("RegisterServer"), _encoding("RegisterServer2")})
_WITHOUT_SESSION = frozenset(
    _encoding(service) for service in ("CreateSession", "FindServers", "GetEndpoints", "CloseSecureChannel")
)


@dataclass
class SessionUser(User):
    """asyncua's user and ours. Never Admin: that role passes every check asyncua makes."""

    caller: Caller = ANONYMOUS


_NOBODY = SessionUser(UserRole.Anonymous)


class Logins(UserManager):
    """Verifies passwords in a thread; then, synchronously, tells asyncua who it was."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._turn = asyncio.Semaphore(LOGINS_AT_ONCE_MAX)

    async def verify(self, name: str, password: str) -> Caller | None:
        async with self._turn:
            return await asyncio.to_thread(self._passwords.verify, name, password)

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        caller = _LOGIN.get()
        return None if caller is None else SessionUser(UserRole.User, caller.name, caller)


class BankSubscriptionService(SubscriptionService):
    """Remembers who each subscription serves, and says so when a message to republish is gone."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver.aspace, iserver=iserver)
        self._callers: dict[int, Caller] = {}

    def serves(self, subscription: int, caller: Caller) -> None:
        self._callers = {known: whom for known, whom in self._callers.items() if known in self.subscriptions}
        self._callers[subscription] = caller

    def caller_of(self, subscription: int) -> Caller:
        return self._callers.get(subscription, ANONYMOUS)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """The message again, kept until it is acknowledged (Part 4, 5.14.6). Stock answers Good and an empty
        message for what it does not have, and node-opcua then asks for the next one, for ever."""
        subscription = self.subscriptions.get(params.SubscriptionId)
        if subscription is None:
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        sent = subscription._not_acknowledged_results.get(params.RetransmitSequenceNumber)
        if sent is None:
            raise ServiceError(StatusCodes.BadMessageNotAvailable)
        message: ua.NotificationMessage = sent.NotificationMessage
        return message


class BankSession(InternalSession):
    """A client's session: unguessable, knows its caller, touches its own subscriptions only."""

    iserver: BankInternalServer

    def __init__(self, iserver: BankInternalServer, name: str, user: User, external: bool) -> None:
        super().__init__(iserver, iserver.aspace, iserver.subscription_service, name, user=user, external=external)
        if external:
            iserver.unregister_external_session(self)
        self.auth_token = ua.NodeId(
            ua.ByteString(secrets.token_bytes(TOKEN_BYTES)), NodeIdType=ua.NodeIdType.ByteString
        )
        if external:
            iserver.register_external_session(self)

    @property
    def caller(self) -> Caller:
        return self.user.caller if isinstance(self.user, SessionUser) else ANONYMOUS

    def has_token(self, token: ua.NodeId) -> bool:
        shown, own = token.Identifier, self.auth_token.Identifier
        return isinstance(shown, bytes) and isinstance(own, bytes) and hmac.compare_digest(shown, own)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        if self.caller.role is Role.ANONYMOUS:
            return [ua_status(StatusCodes.BadUserAccessDenied) for _ in params.NodesToWrite]
        return await super().write(params)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        previous = CALLER.set(self.caller)
        try:
            return [await self._call(request) for request in params]
        finally:
            CALLER.reset(previous)

    async def _call(self, request: ua.CallMethodRequest) -> ua.CallMethodResult:
        if self.caller.role is Role.ANONYMOUS:
            return ua.CallMethodResult(StatusCode=ua_status(StatusCodes.BadUserAccessDenied))
        owner = self.aspace.get(request.ObjectId)
        if owner is not None and not any(
            reference.IsForward and reference.NodeId == request.MethodId for reference in owner.references
        ):
            return ua.CallMethodResult(StatusCode=ua_status(StatusCodes.BadMethodInvalid))
        (result,) = await super().call([request])
        return result

    # Subscriptions: what belongs to another session does not exist here.

    def _owns(self, subscription_id: int) -> bool:
        subscription = self.subscription_service.subscriptions.get(subscription_id)
        return subscription is not None and subscription.session_id == self.session_id

    def _check_own(self, subscription_id: int) -> None:
        if not self._owns(subscription_id):
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        result = await super().create_subscription(params, callback, request_callback)
        self.iserver.bank_subscriptions.serves(result.SubscriptionId, self.caller)
        return result

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        self._check_own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        return [await self._delete_subscription(id) for id in ids]

    async def _delete_subscription(self, id: int) -> ua.StatusCode:
        if not self._owns(id):
            return ua_status(StatusCodes.BadSubscriptionIdInvalid)
        (result,) = await super().delete_subscriptions([id])
        return result

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        return [await self._set_publishing_mode(id, params.PublishingEnabled) for id in params.SubscriptionIds]

    async def _set_publishing_mode(self, id: int, enabled: bool) -> ua.StatusCode:
        if not self._owns(id):
            return ua_status(StatusCodes.BadSubscriptionIdInvalid)
        (result,) = await super().set_publishing_mode(ua.SetPublishingModeParameters(enabled, [id]))
        return result

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        self._check_own(params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        self._check_own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        self._check_own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        self._check_own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        self._check_own(params.SubscriptionId)
        return super().republish(params)

    def publish(self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None) -> tuple[int, list[ua.StatusCode]]:
        owned = sum(self._owns(id) for id in self.subscription_service.subscriptions)
        if not owned:
            raise ServiceError(StatusCodes.BadNoSubscription)
        return owned, [self._acknowledge(ack) for ack in acks or ()]

    def _acknowledge(self, ack: ua.SubscriptionAcknowledgement) -> ua.StatusCode:
        if not self._owns(ack.SubscriptionId):
            return ua_status(StatusCodes.BadSubscriptionIdInvalid)
        _, (result,) = super().publish([ack])
        return result

    async def transfer_subscriptions(  # type: ignore[override]  # as asyncua's own
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> list[ua.TransferResult]:
        return [await self._transfer(id, callback) for id in params.SubscriptionIds]

    async def _transfer(self, id: int, callback: Callable[..., Any]) -> ua.TransferResult:
        """Only to the same user, who has to have a name (Part 4, 5.14.7)."""
        known = id in self.subscription_service.subscriptions
        same_user = (
            self.caller.role is not Role.ANONYMOUS and self.iserver.bank_subscriptions.caller_of(id) == self.caller
        )
        if known and not self._owns(id) and not same_user:
            return ua.TransferResult(StatusCode=ua_status(StatusCodes.BadUserAccessDenied))
        (result,) = await super().transfer_subscriptions(ua.TransferSubscriptionsParameters([id]), callback)
        processor = getattr(callback, "__self__", None)
        if known and isinstance(processor, UaProcessor):
            # stock goes on taking publish requests from the old connection
            subscription: Any = self.subscription_service.subscriptions[id]
            subscription.pub_request_callback = processor.get_publish_request
        return result


class BankInternalServer(InternalServer):
    """Makes our sessions and subscriptions."""

    def __init__(self, passwords: Passwords) -> None:
        self.logins = Logins(passwords)
        super().__init__(user_manager=self.logins)
        self.bank_subscriptions = BankSubscriptionService(self)
        self.subscription_service = self.bank_subscriptions
        self.isession.subscription_service = self.bank_subscriptions

    def create_session(
        self,
        name: str,
        user: User = _NOBODY,
        external: bool = False,
    ) -> BankSession:
        return BankSession(self, name, user, external)

    async def stop(self) -> None:
        if self.time_task is not None:  # stock lets its tick run out: a second
            self.time_task.cancel()
            await asyncio.gather(self.time_task, return_exceptions=True)
            self.time_task = None
        for session in list(self._external_sessions.values()):  # else their subscriptions go on publishing
            await session.close_session(True)
        await super().stop()


class BankProcessor(UaProcessor):
    """One connection: every request shows its session's token, and passwords are verified before asyncua goes on."""

    iserver: BankInternalServer

    async def _process_message(self, typeid: ua.NodeId, requesthdr: ua.RequestHeader, seqhdr: Any, body: Buffer) -> Any:
        if typeid in _REFUSED:
            raise ServiceError(StatusCodes.BadServiceUnsupported)
        session = self.session if typeid not in _WITHOUT_SESSION else None
        if isinstance(session, BankSession) and not session.has_token(requesthdr.AuthenticationToken):
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        if typeid == _CREATE and self.session is not None and not self.session.is_activated():
            await self.session.close_session(True)  # stock forgets it, but keeps it for ever
        if typeid == _ACTIVATE:
            _LOGIN.set(await self._login(requesthdr, body.copy()))
        return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]

    async def _login(self, requesthdr: ua.RequestHeader, body: Buffer) -> Caller:
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        if not isinstance(session, BankSession):
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        token = struct_from_binary(ua.ActivateSessionParameters, body).UserIdentityToken
        caller = await self._identify(session, token)
        if self.session is None and session.is_activated() and caller != session.caller:
            # a new channel takes a session over: only for the same user (Part 4, 5.7.3)
            raise ServiceError(StatusCodes.BadIdentityChangeNotSupported)
        return caller

    async def _identify(self, session: BankSession, token: Any) -> Caller:
        if not isinstance(token, ua.UserNameIdentityToken):
            return ANONYMOUS  # asyncua refuses the kinds of token that the endpoint does not offer
        try:
            name, password = self.iserver.decrypt_user_token(session, token)
        except Exception as error:  # whatever a stranger's bytes may set off
            raise ServiceError(StatusCodes.BadIdentityTokenInvalid) from error
        caller = await self.iserver.logins.verify(name or "", password or "")
        if caller is None:
            _log.warning("login refused", user=name, peer=self.name)
            raise ServiceError(StatusCodes.BadUserAccessDenied)
        return caller


class BankProtocol(OPCUAProtocol):
    """A socket served by our processor."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = BankProcessor(self.iserver, transport, self.limits)
            self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]


class BankBinaryServer(BinaryServer):
    """The listening socket."""

    def _make_protocol(self) -> OPCUAProtocol:
        return BankProtocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class BankUaServer(Server):
    """asyncua's server over the classes above."""

    iserver: BankInternalServer

    def __init__(self, passwords: Passwords) -> None:
        super().__init__(iserver=BankInternalServer(passwords))

    async def try_endpoint(self, host: str, port: int) -> None:
        """Bind and let go again; raises OSError when it cannot be had."""
        bound = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
        bound.close()
        await bound.wait_closed()

    async def start(self) -> None:
        """Open the endpoint; raises OSError when it cannot be had, and then leaves nothing running."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._get_bind_socket_info()
        self.bserver = BankBinaryServer(self.iserver, host or "", port or 0, self.limits)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError:
            self.bserver = None
            await self.iserver.stop()
            raise
