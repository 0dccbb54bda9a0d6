# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of virtual functions, which their physical function has: trust, rate, spoof check, and MAC and VLAN while a guest runs. Edge."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.answers import answering, printable
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host, Runner
from .pci import NET, number_of, read_function
from .use import show

#: How ``ip link set PF vf N`` calls a setting, and what a new virtual function has (the kernel's and its drivers' defaults).
SETTINGS = ("trust", "rate", "spoof_check")
_WORDS = {"trust": "trust", "rate": "max_tx_rate", "spoof_check": "spoofchk", "mac": "mac", "vlan": "vlan"}
_DEFAULTS = {"trust": "off", "rate": "0", "spoof_check": "on", "mac": "00:00:00:00:00:00", "vlan": "0"}
#: libvirt sets these when it starts a guest, and takes them back when that ends.
_OF_LIBVIRT = ("mac", "vlan")
#: Kind of their originals in the journal.
_KIND = "virtual-function"
#: What the kernel says of a function that is being reset (EAGAIN, EBUSY), and how often and how soon it is asked again.
_AGAIN = ("temporarily unavailable", "or resource busy")
_TRIES, _STEP_S = 10, 0.3


@dataclass(frozen=True)
class Place:
    """Which virtual function of which interface one is."""

    interface: str
    number: int


def place_of(host: Host, address: str) -> Place | None:
    """Return where a virtual function is; None for another function, or if its physical one has no interface."""
    function = read_function(host, address)
    physical = read_function(host, function.physical) if function and function.physical else None
    number = number_of(host, physical.address, address) if physical is not None else None
    if physical is None or not physical.interfaces or number is None:
        return None
    return Place(physical.interfaces[0], number)


def spelled(value: object) -> str:
    """Return a value as it is compared and given to ip."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def read_settings(runner: Runner, interface: str) -> dict[int, dict[str, str]]:
    """Return the settings of an interface's virtual functions by number; one that the driver does not show is left out."""
    found: dict[int, dict[str, str]] = {}
    with answering(
        lambda reason: HostError(
            f"ip shows the virtual functions of {printable(interface)} in a way that cannot be read: {reason}"
        )
    ):
        for link in show(runner, "-details", "link", "show", "dev", interface):
            for item in link.get("vfinfo_list", ()):
                found[int(item["vf"])] = _settings(item)
    return found


def _settings(item: Mapping[str, Any]) -> dict[str, str]:
    vlans = [entry.get("vlan", 0) for entry in item.get("vlan_list", ())]  # an entry without VLAN is empty
    shown = {
        "trust": item.get("trust"),
        "rate": (item.get("rate") or {}).get("max_tx"),
        "spoof_check": item.get("spoofchk"),
        "mac": item.get("address") or item.get("mac"),
        "vlan": vlans[0] if vlans else item.get("vlan", 0),
    }
    return {key: spelled(value).lower() for key, value in shown.items() if value is not None}


def has_no_link(host: Host, interface: str) -> bool:
    """Whether an interface is up without a link; many drivers refuse a rate then, since they know no speed (igb, ixgbe, i40e)."""
    return host.value(f"{NET}/{interface}/carrier") == "0"


def set_command(place: Place, key: str, value: str) -> list[str]:
    """Return the command that makes a setting."""
    return ["ip", "link", "set", place.interface, "vf", str(place.number), _WORDS[key], value]


def make_setting(runner: Runner, place: Place, key: str, value: str) -> str:
    """Make a setting; return why it is refused, or an empty text.

    A function that is being reset, such as after it was made, after its trust changed or its guest ended, is asked again for a while (i40e, ice:
    "VF still in reset. Try again.").
    """
    for attempt in range(_TRIES):
        code, out, err = runner(set_command(place, key, value))
        reason = (err or out).strip()[-200:] or f"code {code}"
        if code == 0:
            return ""
        if not any(word in reason for word in _AGAIN) or attempt == _TRIES - 1:
            break
        time.sleep(_STEP_S)
    return reason


def plan_settings(
    host: Host,
    runner: Runner,
    wanted: Mapping[str, Mapping[str, object]],
    reasons: Mapping[str, str],
    live: Collection[str] = (),
) -> None:
    """Plan the settings of virtual functions by address; one that is yet to be made has the defaults. ``live``: those that guests run with."""
    shown: dict[str, dict[int, dict[str, str]]] = {}
    for address, settings in sorted(wanted.items()):
        place = place_of(host, address)
        if place is not None and place.interface not in shown:
            shown[place.interface] = read_settings(runner, place.interface)
        current = _DEFAULTS if place is None else shown[place.interface].get(place.number, {})
        for key, value in settings.items():
            if key == "mac" and _is_trusted(host, address, settings, current):
                continue  # the guest may have chosen another
            before, after = current.get(key), spelled(value)
            if before is None and key not in _OF_LIBVIRT:
                host.notes.append(f"{address}: its driver does not show {key}, so it is not set ({reasons[address]})")
            if before in (None, after):
                continue
            change = Change(_resource(address, key), before, after, _disruption(key, address in live), reasons[address])
            make = partial(_make, host, runner, address, key, after)
            if key in _OF_LIBVIRT:
                host.follow_up(change, make)
            else:
                host.change(change, make, kind=_KIND, original={"value": before, "key": key, "address": address})


def _is_trusted(host: Host, address: str, settings: Mapping[str, object], current: Mapping[str, str]) -> bool:
    """Whether a guest may choose its MAC once the run is over: by its list, else as the function was before one named that."""
    if "trust" in settings:
        return spelled(settings["trust"]) == "on"
    former = host.entries(_KIND).get(_resource(address, "trust"))
    return (current.get("trust") if former is None else former["value"]) == "on"


def _disruption(key: str, live: bool) -> str:
    """Return how a change disturbs: many drivers reset the function (i40e, ice, ixgbe), and packets are lost meanwhile."""
    return "stall" if live and key in ("trust", *_OF_LIBVIRT) else "none"


def _resource(address: str, key: str) -> str:
    return f"pci:{address}:{key}"


def _make(host: Host, runner: Runner, address: str, key: str, value: str) -> None:
    place = place_of(host, address)
    if place is None:
        raise HostError(
            f"{address} has gone, or its physical function has no interface, so its {key} cannot be set; run it again"
        )
    if reason := make_setting(runner, place, key, value):
        raise HostError(
            printable(
                f"{address}: {place.interface} refuses {key} {value} for its virtual function {place.number}: {reason}; remove "
                f"that key from the guest's devices, or use a device whose driver knows it"
                + "; it has no link now, and many drivers take a rate only with one"
                * (key == "rate" and has_no_link(host, place.interface))
            )
        )


def restore_settings(
    host: Host, runner: Runner, used: Iterable[str] = (), asked: Mapping[str, Collection[str]] | None = None
) -> None:
    """Plan to restore the settings of virtual functions, but for those in use.

    ``asked``: the settings that the list asks for, by address; of a function in it, others go back although it is in use, so that a guest gets
    no trust that its list, or the one before it, had.
    """
    kept = set(used)
    for resource, original in host.entries(_KIND).items():
        address, key, value = (str(original[name]) for name in ("address", "key", "value"))
        if address in kept and key in (asked or {}).get(address, (key,)):
            continue
        place = place_of(host, address)
        current = read_settings(runner, place.interface).get(place.number, {}).get(key) if place else None
        unknown = place is None or original["value"] is None or current == value
        change = None if unknown else Change(resource, current, value, _disruption(key, address in kept), "restored")
        host.restore(change, resource, partial(_make, host, runner, address, key, value))
