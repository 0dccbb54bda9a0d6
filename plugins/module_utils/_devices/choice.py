# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest gets which function: virtual functions that guests have stay theirs, others get the lowest free ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .._cpus.errors import RefusalError
from .functions import Function


class DeviceError(RefusalError):
    """A guest does not get a device that its list asks for; the message names guest, device and what would work."""


@dataclass(frozen=True)
class Wish:
    """One device that a guest asks for."""

    guest: str
    address: str  # empty: a virtual function of ``physical``
    physical: str = ""
    label: str = ""  # how messages call it
    mac: str = ""
    vlan: str = ""
    mac_given: bool = False


@dataclass(frozen=True)
class Held:
    """A function that a domain has."""

    address: str
    mac: str = ""
    vlan: str = ""


def choose(
    wishes: Sequence[Wish],
    present: Mapping[str, Sequence[Held]],
    taken: Mapping[str, str],
    functions: Mapping[str, Function],
    counts: Mapping[str, int],
) -> list[str]:
    """Return the address for each wish, in order.

    ``present``: what the domains of these guests have; ``taken``: functions that others have, and who that is; ``functions``: the physical
    ones that are asked for; ``counts``: how many virtual ones each of them has.
    """
    owner = dict(taken)
    chosen: dict[int, str] = {}
    for number, wish in enumerate(wishes):
        if wish.address:
            _claim(owner, wish, wish.address)
            chosen[number] = wish.address
    candidates = {
        physical: [function.virtual_address(number) for number in range(counts[physical])]
        for physical, function in functions.items()
    }
    _keep(wishes, present, candidates, owner, chosen)
    for number, wish in enumerate(wishes):
        if number in chosen:
            continue
        free = [address for address in candidates[wish.physical] if address not in owner]
        if not free:
            raise _none_left(wish, functions[wish.physical], candidates[wish.physical], owner, wishes)
        _claim(owner, wish, free[0])
        chosen[number] = free[0]
    return [chosen[number] for number in range(len(wishes))]


def _claim(owner: dict[str, str], wish: Wish, address: str) -> None:
    other = owner.setdefault(address, wish.guest)
    if other != wish.guest:
        raise DeviceError(
            f"realtime_guests: {wish.guest}: device {address} is that of {other}; a device has one guest: take it from {other} first, or choose another"
        )


def _keep(
    wishes: Sequence[Wish],
    present: Mapping[str, Sequence[Held]],
    candidates: Mapping[str, Sequence[str]],
    owner: dict[str, str],
    chosen: dict[int, str],
) -> None:
    """Let guests keep the virtual functions that they have, each entry the one that is most like it.

    A derived MAC follows from an entry's place in the list, so it tells least: to remove or reorder entries shall not give a guest's interface
    another VLAN, or the MAC of another entry.
    """
    alike: tuple[Callable[[Wish, Held], bool], ...] = (
        lambda wish, held: wish.mac_given and held.mac == wish.mac,
        lambda wish, held: not wish.mac_given and held.mac == wish.mac and held.vlan == wish.vlan,
        lambda wish, held: not wish.mac_given and held.vlan == wish.vlan,
        lambda wish, held: held.mac == wish.mac,
        lambda _wish, _held: True,
    )
    for fits in alike:
        for number, wish in enumerate(wishes):
            for held in present.get(wish.guest, ()):
                free = owner.get(held.address, wish.guest) == wish.guest and held.address not in chosen.values()
                if number not in chosen and free and held.address in candidates.get(wish.physical, ()) and fits(wish, held):
                    owner[held.address] = wish.guest
                    chosen[number] = held.address


def _none_left(
    wish: Wish, function: Function, candidates: Sequence[str], owner: Mapping[str, str], wishes: Sequence[Wish]
) -> DeviceError:
    where = f"realtime_guests: {wish.guest}: {wish.label}"
    name = function.interfaces[0] if function.interfaces else function.address
    others = sorted({owner[address] for address in candidates if address in owner})
    used = f", which {', '.join(others)} use" if others else ""
    asked = sum(other.physical == wish.physical and not other.address for other in wishes)
    strangers = len(
        [address for address in candidates if address in owner and owner[address] not in {item.guest for item in wishes}]
    )
    need = asked + strangers
    if not function.total:
        return DeviceError(
            f"{where}: {name} has no virtual functions (no SR-IOV); give the guest the function itself by its address"
        )
    if need > function.total:
        return DeviceError(
            f"{where}: {need} virtual functions of {name} are asked for, and it can have at most {function.total}; take it from a guest, or use "
            "another physical function"
        )
    return DeviceError(
        f"{where}: {name} has {len(candidates)} virtual functions{used}; set kvm_host_virtual_functions: {{{name}: {need}}}, and run the kvm_host role"
    )
