"""Ids, names and groups of the nodes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import Money
from core.sample import TagId
from ledger.account import Account, AccountId, PartyId
from opcua_server.address_space import (
    CHILDREN_MAX,
    MachineNode,
    MethodNode,
    Plant,
    TagNode,
    VariableNode,
    account_node_id,
    account_of,
    nodes,
    tag_node_id,
)

names = st.text(min_size=1, max_size=12)


def accounts(*ids: str) -> list[Account]:
    return [Account(AccountId(id), id, PartyId("p"), Money.parse("0 kr")) for id in ids]


def test_every_node_has_its_own_id_and_comes_after_its_parent() -> None:
    seen = {""}
    for node in nodes(Plant("p", [MachineNode("m", "M", [TagNode("t")])]), accounts("a", "b")):
        assert node.parent in seen
        assert node.id not in seen
        seen.add(node.id)


@given(names, names)
def test_any_account_name_makes_an_id_of_its_own_without_separators(one: str, other: str) -> None:
    id = account_node_id(AccountId(one))
    assert account_of(id) == one
    assert not set("/;") & set(id)
    assert id.count(".") == 1
    assert (id == account_node_id(AccountId(other))) == (one == other)


def test_ids_are_dotted_and_say_what_they_are() -> None:
    ids = {node.id for node in nodes(Plant("p", [MachineNode("agv-7", "AGV", [TagNode("odometer")])]), accounts("x"))}
    assert {
        "Accounts.x",
        "Accounts.x.Balance",
        "Accounts.x.LastTransfer.Counterparty",
        "Accounts.x.Pay",
        "Machines.agv-7.Tags.odometer",
        "Machines.agv-7.SerialNumber",
        "Ledger.JournalHead",
    } <= ids
    assert tag_node_id(TagId("agv-7.odometer")) == "Machines.agv-7.Tags.odometer"


@pytest.mark.parametrize("count", [CHILDREN_MAX, CHILDREN_MAX + 1, CHILDREN_MAX**2 + 1])
def test_no_folder_has_more_children_than_clients_can_take(count: int) -> None:
    machines = [MachineNode(f"m{number}", "") for number in range(count)]
    children = Counter(node.parent for node in nodes(Plant("p", machines), []))
    assert max(children.values()) <= CHILDREN_MAX


def test_ids_stay_when_accounts_come_to_be_grouped() -> None:
    few = {node.id for node in nodes(Plant("p"), accounts("a", "b"))}
    many = {node.id for node in nodes(Plant("p"), accounts("a", "b", *map(str, range(CHILDREN_MAX))))}
    assert few <= many


def test_every_variable_and_method_explains_itself() -> None:
    for node in nodes(Plant("p"), accounts("a")):
        if isinstance(node, VariableNode | MethodNode):
            assert node.description, node.id
