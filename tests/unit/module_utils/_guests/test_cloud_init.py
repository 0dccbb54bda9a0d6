# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's first boot is told: the files of its seed, and refusals that quote nothing."""

from __future__ import annotations

import datetime
import json

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cloud_init import HEADERS, MAX_TEXT, seed_files, text_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Disk, GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import derive_mac, parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks

NETWORKS = parse_networks([{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}])


def parse(given, *networks, name="plc1"):
    item = {"name": name, "memory_mib": 64, "cloud_init": given, "networks": [{"network": network} for network in networks]}
    return parse_guests([item], NETWORKS, site="n")[0]


def files(given, *networks, **more):
    return {name: text.decode() for name, text in seed_files(parse(given, *networks, **more), "some-uuid").items()}


def refusal(given, *networks):
    with pytest.raises(GuestError) as error:
        parse(given, *networks)
    assert "PLANTED" not in str(error.value)
    return str(error.value)


# -- the files -------------------------------------------------------------------------------------


def test_nothing_but_the_name():
    assert files({}) == {
        "user-data": "#cloud-config\n{}\n",
        "meta-data": '{"instance-id": "some-uuid", "local-hostname": "plc1"}\n',
    }
    assert '"local-hostname": "plc-1.a"' in files({}, name="plc_1.a")["meta-data"]


def test_a_mapping_is_json_that_yaml_reads():
    wishes = {
        "ssh_authorized_keys": ["ssh-ed25519 AAAA me@host"], "runcmd": [["sh", "-c", "echo \"a\" 'b' > /x\n"]], "n": 1, "yes": True, "no": None,
        "odd": "\x7f\x80\x85\u2028\u2029\ufeffö\U0001f600\t\\", "1": {"00": "0x10", "on": "off"},
    }  # fmt: skip
    text = files({"user_data": wishes})["user-data"]
    assert text.startswith("#cloud-config\n{")
    assert text.count("\n") == 2
    assert yaml.safe_load(text) == wishes


def test_a_mapping_that_comes_as_json_is_a_mapping():
    for key, name in (("user_data", "user-data"), ("network_config", "network-config")):
        given = {"version": 2, "a": ["b"]}
        assert files({key: json.dumps(given)})[name] == files({key: given})[name]
    assert files({"meta_data": '{"a": 1}'})["meta-data"] == '{"instance-id": "some-uuid", "local-hostname": "plc1", "a": 1}\n'


def test_texts_stay_as_they_are():
    given = {
        "user_data": "#!/bin/sh\necho ö\r\n",
        "meta_data": "# mine\ninstance-id: 7\n",
        "network_config": "network: {version: 1, config: disabled}",
    }
    assert files(given) == {
        "user-data": given["user_data"],
        "meta-data": given["meta_data"],
        "network-config": given["network_config"],
    }


@pytest.mark.parametrize("header", HEADERS)
def test_every_kind_of_user_data(header):
    for text in (f"{header}x", f"{header.upper()}x" if header[-1] == ":" else header):
        assert files({"user_data": text})["user-data"] == text


def test_meta_data_may_name_the_instance_itself():
    text = files({"meta_data": {"instance-id": "second", "local-hostname": None, "x": [1]}})["meta-data"]
    assert json.loads(text) == {"instance-id": "second", "local-hostname": "plc1", "x": [1]}


def test_a_date_of_yaml_is_a_text():
    assert json.loads(text_of({"day": datetime.date(2026, 1, 2)})) == {"day": "2026-01-02"}


@pytest.mark.parametrize(
    "given",
    [
        {"network_config": "---\n# mine\nnetwork:\n  ethernets: {}\n  version: 2  # netplan's\n"},
        {"network_config": "  version: 1\n  config: disabled\n"},
        {"network_config": "{version: 2, ethernets: {}}"},
        {"network_config": "network: {ethernets: {}, version: 2}\n"},
        {"network_config": '"version": 2\nethernets:\n  a:\n    match:\n      macaddress: x\n    set-name: network\n'},
        {"network_config": "version: 2\nethernets:\n  a:\n    match: {name: x}\n  network:\n    dhcp4: true\n"},
        {"network_config": "version: 2\nethernets:\n  a:\n    match:\n      name: x\n  network:\n    dhcp4: true\n"},
        {"network_config": "version: 2\n# match: {network: x}\nethernets: {}\n"},
        {"meta_data": "---\n'instance-id': a b  # mine\n"},
        {"meta_data": "{instance-id: x, local-hostname: y}"},
        {"meta_data": "{\n  instance-id: x\n}\n"},
        {"meta_data": "--- {instance-id: x}\n"},
        {"meta_data": "instance-id: x\r\nlocal-hostname: y\r\n"},
        {"meta_data": "instance-id: &a x\n"},
        {"network_config": "version: 2\r\nethernets: {}\r\n"},
        {"network_config": "version: !!int 2\n"},
        {"network_config": "--- {network: {version: 2}}\n"},
        {"network_config": "network:\n  {version: 2, ethernets: {a: {}}}\n"},
        {"network_config": "{ethernets: {a: {dhcp4: true}}, version: 2}"},
        {"network_config": "version: 2\nethernets:\n  a:\n    match: {name: 'x'}\n    comment: 'match: {network: y}'\n"},
        {"network_config": "version: 2\nethernets:\n  a:\n    match: {driver: {network: y}}\n"},
        {"meta_data": {"instance-id": 5}},
    ],
)
def test_what_cloud_init_takes_is_accepted(given):
    parse(given, "control")


def test_a_network_by_name_is_its_mac():
    card = {"match": {"network": "control"}, "addresses": ["192.0.2.1/24"]}
    other = {"match": {"macaddress": "52:54:00:00:00:01"}}
    config = {"version": 2, "ethernets": {"a": card, "b": other, "c": {"dhcp4": True}, "d": None}}
    mac = derive_mac("n", "plc1", "control")
    for given, found in (
        (config, json.loads),
        ({"network": config}, lambda text: json.loads(text)["network"]),
    ):
        cards = found(files({"network_config": given}, "control")["network-config"])["ethernets"]
        assert cards == {
            "a": {"match": {"macaddress": mac}, "addresses": ["192.0.2.1/24"]},
            "b": other,
            "c": {"dhcp4": True},
            "d": None,
        }
    assert card["match"] == {"network": "control"}, "the list stays as it was"


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("PLANTED", "cloud_init is not a mapping of user_data, meta_data, network_config"),
        (["PLANTED"], "cloud_init is not a mapping"),
        (True, "cloud_init is not a mapping"),
        ({"network": "PLANTED"}, "unknown key network"),
        ({"user_data": ["PLANTED"]}, "user_data is neither a text nor a mapping"),
        ({"user_data": 12345}, "user_data is neither a text nor a mapping"),
        (
            {"user_data": "password: PLANTED"},
            "user_data does not begin as cloud-init knows it; the first line must be #cloud-config",
        ),
        ({"user_data": ""}, "user_data does not begin"),
        ({"user_data": "\n#cloud-config\n"}, "user_data does not begin"),
        ({"user_data": "#cloud-config\nPLANTED\0"}, "user_data holds a zero byte"),
        ({"user_data": "#cloud-config\nPLANTED\ud800"}, "user_data holds half a character"),
        ({"user_data": {"a": "PLANTED\ud800"}}, "user_data holds half a character"),
        ({"user_data": "#cloud-config\n" + "P" * MAX_TEXT}, f"at most {MAX_TEXT} are accepted"),
        ({"meta_data": "local-hostname: PLANTED"}, "meta_data has no instance-id, without which cloud-init takes no seed"),
        ({"meta_data": "foo:\n  instance-id: PLANTED\n"}, "meta_data has no instance-id"),
        ({"meta_data": "instance-id:\n"}, "meta_data has no instance-id"),
        ({"meta_data": "instance-id: ''  # PLANTED\n"}, "meta_data has no instance-id"),
        ({"meta_data": "# instance-id: PLANTED\nb: c\n"}, "meta_data has no instance-id"),
        ({"meta_data": "instance-id: {PLANTED: 1}\n"}, "meta_data has no instance-id"),
        ({"meta_data": {"instance-id": ""}}, "meta_data: instance-id must be a text; give one, or leave it out"),
        ({"meta_data": {"instance-id": {"PLANTED": 1}}}, "meta_data: instance-id must be a text"),
        ({"meta_data": {"instance-id": False}}, "meta_data: instance-id must be a text"),
        ({"network_config": "# version: 2\nethernets: {}\n"}, "network_config has no version"),
        ({"network_config": "ethernets: {PLANTED: {}}  # version: 2\n"}, "network_config has no version"),
        ({"network_config": "version: 3\n"}, "network_config has no version"),
        ({"network_config": "network:\n  version: 3\n"}, "network_config has no version"),
        ({"network_config": "foo:\n  version: 2\n"}, "network_config has no version"),
        ({"network_config": "network:\n  foo:\n    version: 2\n"}, "network_config has no version"),
        ({"network_config": "version: '2'\n"}, "network_config has no version"),
        ({"network_config": {"version": True}}, "network_config has no version"),
        ({"network_config": {"version": 2.0}}, "network_config has no version"),
        ({"network_config": {"version": "2"}}, "give version: 2 (netplan's), or 1, as a number"),
        (
            {"network_config": "version: 2\nethernets:\n  a:\n    match: {network: control}\n    dhcp4: true\n"},
            "network_config is a text with a network in match, of which the MAC is worked out in a mapping alone; give it as a mapping",
        ),
        (
            {"network_config": "version: 2\nethernets:\n  a:\n    match:\n      name: PLANTED\n      network: control\n"},
            "network_config is a text with a network in match",
        ),
        *(
            ({"network_config": f"version: 2\nethernets:\n  a:\n{match}"}, "network_config is a text with a network in match")
            for match in (
                "    match:\n\n      network: PLANTED\n",
                "    match:\n\n\n      name: x\n\n      network: PLANTED\n",
                "    match:\r\n      network: PLANTED\r\n",
                "    match: &m {network: PLANTED}\n",
                "    match: &m\n      network: PLANTED\n",
                "    match: !!map {network: PLANTED}\n",
                "    match: {name: 'a{b', network: PLANTED}\n",
                "    match: {driver: [a, {x: y}], network: PLANTED}\n",
                "    match:\n      {name: x,\n       'network': PLANTED}\n",
                "    {match: {network: PLANTED}, dhcp4: true}\n",
                "    ? match\n    : {network: PLANTED}\n",
                "    x: don't\n    match: {network: PLANTED}  # won't\n",
            )
        ),
        ({"network_config": "{ethernets: {a: {version: 2}}}"}, "network_config has no version"),
        ({"meta_data": "{local-hostname: PLANTED}"}, "meta_data has no instance-id"),
        ({"meta_data": "{a: {instance-id: PLANTED}}"}, "meta_data has no instance-id"),
        ({"meta_data": "{instance-id: '', a: PLANTED}"}, "meta_data has no instance-id"),
        (
            {"network_config": '{version: 2, ethernets: {a: {"match": {"network": control}}}}'},
            "is a text with a network in match",
        ),
        (
            {"network_config": {"version": 2, "wifis": {"PLANTED": {"match": {"network": "control"}}}}},
            "match names a network outside ethernets, where its MAC is not worked out; move the interface to ethernets (version: 2)",
        ),
        (
            {"network_config": {"version": 1, "config": [{"name": "PLANTED", "match": {"network": "control"}}]}},
            "match names a network outside ethernets",
        ),
        ({"network_config": {"ethernets": {"PLANTED": {}}}}, "network_config has no version"),
        ({"network_config": {"version": 3}}, "network_config has no version"),
        ({"network_config": {"network": ["PLANTED"]}}, "network_config has no version"),
        ({"network_config": "ethernets: PLANTED"}, "network_config has no version"),
        ({"network_config": '{"ethernets": "PLANTED"}'}, "network_config has no version"),
        (
            {"network_config": {"version": 2, "ethernets": {"a": {"match": {"network": "PLANTED"}}}}},
            "network_config: match names a network that the guest is not on (it is on control); add it to networks, or match by macaddress",
        ),
    ],
)
def test_what_cloud_init_would_not_take(given, words):
    message = refusal(given, "control")
    assert message.startswith("realtime_guests: plc1: cloud_init")
    assert words in message


def test_a_seed_is_found_or_made_not_both():
    with pytest.raises(GuestError, match="seed is an image that is there, cloud_init has one made; give the one or the other"):
        parse_guests([{"name": "plc1", "memory_mib": 64, "seed": "/a.iso", "cloud_init": {}}], NETWORKS)


def test_no_text_of_a_guest_shows_what_is_in_it():
    guest = parse(
        {"user_data": "#cloud-config\nPLANTED", "meta_data": {"a": "PLANTED"}, "network_config": "version: 1 # PLANTED"}
    )
    assert "PLANTED" not in f"{guest!r} {guest.cloud_init}"


def test_the_seed_is_the_last_disk_on_a_bus_that_every_cloud_image_knows():
    item = {"name": "a", "memory_mib": 64, "disks": [{"path": "/x"}, {"path": "/y", "bus": "scsi"}], "cloud_init": {}}
    seed = parse_guests([item], NETWORKS, image_folder="/vms")[0].disks[-1]
    assert seed == Disk("/vms/a-seed.iso", "raw", "virtio", "vdz", read_only=True, cache="writeback", path_given=False, seed=True)
    seed = parse_guests([{**item, "guest_os": "windows"}], NETWORKS)[0].disks[-1]
    assert (seed.bus, seed.target, seed.cdrom, seed.seed) == ("sata", "sdb", True, True)


def test_the_seed_has_the_last_letter():
    item = {"name": "a", "memory_mib": 64, "cloud_init": {}}
    parse_guests([{**item, "disks": [{"path": f"/{number}"} for number in range(25)]}], NETWORKS)
    with pytest.raises(GuestError, match="the seed of cloud_init is disk vdz, so at most 25 others may be on the bus virtio"):
        parse_guests([{**item, "disks": [{"path": f"/{number}"} for number in range(26)]}], NETWORKS)


def test_no_cloud_init_is_no_seed():
    assert parse_guests([{"name": "a", "memory_mib": 64, "cloud_init": None}], NETWORKS)[0].disks == ()
