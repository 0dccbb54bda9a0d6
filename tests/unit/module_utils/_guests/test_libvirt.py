# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the connection asks of libvirt, on a stand-in for its library, and what is said when libvirt refuses."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import libvirt as _libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Connection, Libvirt, NoConnection, PoolError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.libvirt_names import libvirt_names
from unit.libvirts import FakeDomain
from unit.trees import fill, writable

FLAGS = {
    name: 1 << place
    for place, name in enumerate(
        [
            *(
                "VIR_CONNECT_LIST_DOMAINS_ACTIVE",
                "VIR_CONNECT_LIST_DOMAINS_AUTOSTART",
                "VIR_CONNECT_LIST_DOMAINS_PERSISTENT",
                "VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE",
            ),
            *("VIR_DOMAIN_XML_INACTIVE", "VIR_DOMAIN_XML_SECURE", "VIR_DOMAIN_DEFINE_VALIDATE", "VIR_DOMAIN_AFFECT_LIVE"),
            *("VIR_DOMAIN_UNDEFINE_MANAGED_SAVE", "VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA"),
            *("VIR_DOMAIN_UNDEFINE_NVRAM", "VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA"),
            *("VIR_DOMAIN_UNDEFINE_KEEP_NVRAM", "VIR_DOMAIN_UNDEFINE_KEEP_TPM", "VIR_DOMAIN_UNDEFINE_TPM"),
        ]
    )
}


class LibvirtError(Exception):
    def get_error_message(self):
        return f"{self.args[0]}\n"


@libvirt_names(
    registerErrorHandler="register_error_handler",
    listAllDomains="list_all_domains",
    lookupByName="lookup",
    defineXMLFlags="define",
)
class Library:
    """The part of libvirt's module that is used; ``calls`` are all calls that change anything."""

    def __init__(self):
        self.calls = []
        self.machines = {}
        self.down = False
        for name, value in {**FLAGS, "libvirtError": LibvirtError}.items():
            setattr(self, name, value)

    def register_error_handler(self, handler, _context=None):
        self.handler = handler

    def open(self, uri):
        assert uri == "qemu:///system"
        if self.down:
            raise LibvirtError("no socket")
        return self

    def list_all_domains(self, flags):
        kinds = {
            FLAGS["VIR_CONNECT_LIST_DOMAINS_ACTIVE"]: "active",
            FLAGS["VIR_CONNECT_LIST_DOMAINS_AUTOSTART"]: "autostart",
            FLAGS["VIR_CONNECT_LIST_DOMAINS_PERSISTENT"]: "persistent",
            FLAGS["VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE"]: "saved",
        }
        return [machine for machine in self.machines.values() if not flags or getattr(machine, kinds[flags])]

    def lookup(self, name):
        if name not in self.machines:
            raise LibvirtError(f"no domain {name}")
        return self.machines[name]

    def define(self, _xml, flags):
        self.calls.append(("define", flags))


@libvirt_names(isActive="is_active", XMLDesc="xml")
class Machine:
    """A domain."""

    def __init__(self, library, name, *, active=False, autostart=False, persistent=True, deaf=False):
        self.libvirt, self._name, self.deaf = library, name, deaf
        self.active, self.autostart, self.persistent, self.gone, self.saved = active, autostart, persistent, False, False
        library.machines[name] = self

    def __getattr__(self, call):
        """Every other call is noted."""

        def note(*arguments):
            self.libvirt.calls.append((call, self._name, *arguments))

        return note

    def name(self):
        return self._name

    def is_active(self):
        return int(self.active)

    def xml(self, flags):
        if self.gone:
            raise LibvirtError("it is gone")
        return f"<domain><name>{self._name}</name><title>{flags}</title></domain>"

    def create(self):
        self.libvirt.calls.append(("create", self._name))
        self.active = True

    def shutdown(self):
        self.libvirt.calls.append(("shutdown", self._name))
        self.active = self.deaf

    def destroy(self):
        self.libvirt.calls.append(("destroy", self._name))
        self.active = False


@pytest.fixture(name="library")
def _library(monkeypatch):
    library = Library()
    monkeypatch.setattr(_libvirt, "libvirt", library)
    return library


def test_a_node_without_the_bindings_or_the_daemon_is_told_what_helps(library, monkeypatch):
    library.down = True
    with pytest.raises(HostError, match=r"^libvirt \(qemu:///system\) does not answer: no socket; is its service running\?"):
        Connection()
    monkeypatch.setattr(_libvirt, "libvirt", None)
    with pytest.raises(HostError, match=r"^python3-libvirt is not installed on this node; run the kvm_host role"):
        Connection()


def test_every_domain_is_told_with_its_passwords_and_as_it_is_defined(library):
    Machine(library, "off")
    Machine(library, "on", active=True, autostart=True)
    Machine(library, "transient", active=True, persistent=False)
    Machine(library, "gone").gone = True
    domains = Connection().domains()
    assert {name: (item.running, item.autostart, item.persistent) for name, item in domains.items()} == {
        "off": (False, False, True),
        "on": (True, True, True),
        "transient": (True, False, False),
    }
    secure = FLAGS["VIR_DOMAIN_XML_SECURE"]
    assert int(domains["on"].tree.findtext("title")) == secure | FLAGS["VIR_DOMAIN_XML_INACTIVE"]
    assert int(domains["on"].live_tree().findtext("title")) == secure


def test_domains_of_one_shape_are_validated_once(library):
    connection = Connection()
    for shape in ("a", "a", "b", "", ""):
        connection.define("plc1", "<domain/>", shape)
    validate = FLAGS["VIR_DOMAIN_DEFINE_VALIDATE"]
    assert [flags for _define, flags in library.calls] == [validate, 0, validate, validate, validate]


def test_a_shape_that_was_refused_is_validated_again(library, monkeypatch):
    connection = Connection()

    def refuse(_xml, _flags):
        raise LibvirtError("XML error:\nno such element")

    monkeypatch.setattr(library, "defineXMLFlags", refuse)
    with pytest.raises(HostError, match=r"^plc1: libvirt could not define it: XML error: no such element$"):
        connection.define("plc1", "<domain/>", "a")
    monkeypatch.undo()
    monkeypatch.setattr(_libvirt, "libvirt", library)
    connection.define("plc1", "<domain/>", "a")
    assert library.calls == [("define", FLAGS["VIR_DOMAIN_DEFINE_VALIDATE"])]


@pytest.mark.parametrize(
    ("present", "asked"), [("<old/>", ["<new/>", "<old/>", "<new/>"]), ("<fine/>", ["<new/>", "<fine/>"]), (None, ["<new/>"])]
)
def test_a_definition_that_the_schema_refuses_as_it_is_is_not_held_against_it(library, monkeypatch, present, asked):
    validate, defined = FLAGS["VIR_DOMAIN_DEFINE_VALIDATE"], []

    def refuse(xml, flags):
        defined.append(xml)
        if flags == validate and xml != "<fine/>":
            raise LibvirtError("XML document failed to validate against schema")

    monkeypatch.setattr(library, "defineXMLFlags", refuse)
    connection = Connection()
    if present:
        connection._definitions["plc1"] = [present]
    if present == "<old/>":
        connection.define("plc1", "<new/>", "shape")
        connection.define("plc2", "<fine/>", "shape")
        assert defined.pop() == "<fine/>"
    else:
        with pytest.raises(HostError, match="failed to validate"):
            connection.define("plc1", "<new/>", "shape")
    assert defined == asked
    connection.define("plc3", "<new/>", validate=False)


def test_a_guest_that_runs_is_not_started_again(library):
    Machine(library, "on", active=True)
    Machine(library, "off")
    for name in ("on", "off"):
        Connection().start(name)
    assert library.calls == [("create", "off")]


def test_guests_are_asked_to_shut_down_all_at_once(library):
    for name in ("a", "b"):
        Machine(library, name, active=True)
    Machine(library, "off")
    Connection().stop(["a", "off", "b"], 0, force=False)
    assert library.calls == [("shutdown", "a"), ("shutdown", "b")]


def test_a_guest_that_does_not_shut_down_is_named_or_switched_off(library, monkeypatch):
    monkeypatch.setattr(_libvirt.time, "sleep", lambda _seconds: None)
    Machine(library, "deaf", active=True, deaf=True)
    Machine(library, "a", active=True)
    with pytest.raises(HostError, match=r"^deaf: still running 0 s after .* or set rt_guest_force_off: true"):
        Connection().stop(["deaf", "a"], 0, force=False)
    assert ("destroy", "deaf") not in library.calls
    Connection().stop(["deaf", "a"], 0, force=True)
    assert library.calls[-2:] == [("shutdown", "deaf"), ("destroy", "deaf")]


@pytest.mark.parametrize(
    ("everything", "asked"),
    [(True, {"NVRAM", "MANAGED_SAVE", "TPM"}), (False, {"KEEP_NVRAM", "KEEP_TPM"})],
)
@pytest.mark.parametrize("old", [False, True])
def test_a_definition_goes_and_what_belongs_to_it_stays_unless_asked_for(library, everything, asked, old):
    """``old``: a libvirt before 8.9, which has no flag for a TPM's state."""
    Machine(library, "plc1")
    if old:
        del library.VIR_DOMAIN_UNDEFINE_TPM, library.VIR_DOMAIN_UNDEFINE_KEEP_TPM
        asked = asked - {"TPM", "KEEP_TPM"}
    Connection().remove("plc1", everything=everything)
    names = {"SNAPSHOTS_METADATA", "CHECKPOINTS_METADATA", *asked}
    assert library.calls == [("undefineFlags", "plc1", sum(FLAGS[f"VIR_DOMAIN_UNDEFINE_{name}"] for name in names))]


def test_each_kind_of_thread_is_pinned_by_its_own_call_in_the_running_guest(library):
    Machine(library, "plc1", active=True)
    connection, live = Connection(), FLAGS["VIR_DOMAIN_AFFECT_LIVE"]
    for role in ("vcpu1", "emulator", "iothread2"):
        connection.pin("plc1", role, [0, 2], 4)
    on = (True, False, True, False)
    assert library.calls == [
        ("pinVcpuFlags", "plc1", 1, on, live),
        ("pinEmulator", "plc1", on, live),
        ("pinIOThread", "plc1", 2, on, live),
    ]


def test_autostart_is_a_number_and_an_unknown_domain_is_named(library):
    Machine(library, "plc1")
    Connection().set_autostart("plc1", True)
    assert library.calls == [("setAutostart", "plc1", 1)]
    with pytest.raises(HostError, match=r"^plc9: libvirt could not find it: no domain plc9$"):
        Connection().lookup("plc9")


@pytest.mark.parametrize("socket", ["libvirt-sock", "virtqemud-sock", "other-sock"])
def test_a_libvirt_is_there_if_it_has_a_socket(library, tmp_path, socket):
    del library
    assert Libvirt().installed(Host(str(fill(tmp_path, {f"/run/libvirt/{socket}": ""})))) is (socket != "other-sock")


def test_a_captured_machine_is_never_asked(library, tmp_path):
    Machine(library, "of the machine that runs the test")
    host = Host(str(fill(tmp_path, {"/run/libvirt/libvirt-sock": ""})), captured=True)
    assert (Libvirt().connect(host), Libvirt().existing(host)) == (None, [])


def test_without_libvirt_check_mode_plans_and_a_real_run_names_the_role(tmp_path, monkeypatch):
    monkeypatch.setattr(_libvirt, "libvirt", None)
    libvirt = _libvirt.Libvirt()
    assert libvirt.connect(writable(tmp_path, check_mode=True)) is None
    with pytest.raises(HostError, match="python3-libvirt is not installed on this node; run the kvm_host role"):
        libvirt.connect(writable(tmp_path))


class FakeHandle:
    """A domain of the bindings: off after some questions, or never."""

    def __init__(self, name, questions):
        self.name, self.questions, self.calls = name, questions, []

    def __getattr__(self, name):
        return {"isActive": self.is_active}[name]

    def is_active(self):
        self.questions -= 1
        if self.questions < -9:
            raise FakeError("client socket is closed\nreally")
        return self.questions >= 0

    def shutdown(self):
        self.calls.append("shutdown")

    def destroy(self):
        self.calls.append("destroy")

    def create(self):
        self.calls.append("create")


class FakeError(Exception):
    def get_error_message(self):
        return str(self)


@pytest.fixture(name="connect_to")
def _connect_to(monkeypatch):
    monkeypatch.setattr(_libvirt, "libvirt", SimpleNamespace(libvirtError=FakeError))
    monkeypatch.setattr(_libvirt.time, "sleep", lambda _seconds: None)

    def connect_to(*handles):
        connection = _libvirt.Connection(handle=object())
        monkeypatch.setattr(connection, "lookup", {handle.name: handle for handle in handles}.__getitem__, raising=False)
        return connection

    return connect_to


def test_guests_are_asked_all_at_once_and_waited_for(connect_to):
    quick, slow, off = FakeHandle("quick", 2), FakeHandle("slow", 5), FakeHandle("off", 0)
    connect_to(quick, slow, off).stop(["quick", "slow", "off"], 60, force=False)
    assert [handle.calls for handle in (quick, slow, off)] == [["shutdown"], ["shutdown"], []]


def test_guests_that_do_not_shut_down_are_all_named_or_switched_off(connect_to):
    deaf = [FakeHandle(name, 10**6) for name in ("b", "a")]
    with pytest.raises(HostError, match=r"^a, b: still running 0 s after .* set rt_guest_force_off: true to switch it off"):
        connect_to(*deaf).stop(["b", "a"], 0, force=False)
    assert [handle.calls for handle in deaf] == [["shutdown"]] * 2
    connect_to(*deaf).stop(["b", "a"], 0, force=True)
    assert [handle.calls[1:] for handle in deaf] == [["shutdown", "destroy"]] * 2


def test_a_daemon_that_goes_away_is_told_in_words(connect_to):
    lost = FakeHandle("lost", -9)
    for call in (lambda: connect_to(lost).start("lost"), lambda: connect_to(lost).stop(["lost"], 0, force=True)):
        with pytest.raises(HostError, match=r"^lost: libvirt could not return its state: client socket is closed really$"):
            call()


@pytest.mark.parametrize("call", ["listAllDomains", "lookupByName", "open"])
def test_a_libvirt_that_hangs_is_given_up_in_its_time(library, monkeypatch, call):
    hold = threading.Event()
    monkeypatch.setattr(_libvirt, "CALL_S", 0.2)
    if call == "open":
        monkeypatch.setattr(library, "open", lambda _uri: hold.wait())
        with pytest.raises(HostError, match=r"^libvirt \(qemu:///system\) did not answer within 0\.2 s; restart its service"):
            Connection()
    else:
        monkeypatch.setattr(Library, call, lambda *_arguments: hold.wait())
        connection = Connection()
        with pytest.raises(HostError, match=r": libvirt did not .* within 0\.2 s; look at its service"):
            connection.domains() if call == "listAllDomains" else connection.lookup("plc1")
    hold.set()


# -- calls that fail for one guest -----------------------------------------------------------------

LOCKED = "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSnapshotCreateXML)"


class UnknownError(LibvirtError):
    def get_error_code(self):
        return 42


class Refusing(Machine):
    """A domain some of whose calls fail; ``meanwhile`` is what has happened when they do."""

    def __init__(self, library, name, *calls, error=LOCKED, meanwhile=None, **more):
        super().__init__(library, name, **more)
        self.refused, self.error, self.meanwhile = calls, error, meanwhile

    def _call(self, call):
        if call not in self.refused:
            return getattr(super(), call)()
        self.active = self.active if self.meanwhile is None else self.meanwhile
        raise LibvirtError(self.error)

    def shutdown(self):
        self._call("shutdown")

    def destroy(self):
        self._call("destroy")

    def create(self):
        self._call("create")


@libvirt_names(isActive="is_active")
class Slow(Machine):
    """A domain that ends some looks after it was asked."""

    looks = None

    def shutdown(self):
        self.looks = 3

    def is_active(self):
        self.looks = None if self.looks is None else self.looks - 1
        self.active = self.active and self.looks != 0
        return int(self.active)


@pytest.fixture(name="no_sleep")
def _no_sleep(monkeypatch):
    monkeypatch.setattr(_libvirt.time, "sleep", lambda _seconds: None)


@pytest.mark.usefixtures("no_sleep")
def test_a_shutdown_that_fails_keeps_no_other_from_being_asked_and_waited_for(library):
    Refusing(library, "a", "shutdown", active=True)
    slow, deaf = Slow(library, "b", active=True), Machine(library, "c", active=True, deaf=True)
    with pytest.raises(HostError) as error:
        Connection().stop(["a", "b", "c"], 0.5, force=False)
    assert str(error.value) == (
        f"c: still running 0.5 s after being asked to shut down (by agent or ACPI); a: libvirt could not shut it down: {LOCKED}; "
        "shut down inside the guest, or set rt_guest_force_off: true to switch it off"
    )
    assert (slow.active, deaf.active) == (False, True)


@pytest.mark.usefixtures("no_sleep")
def test_a_refused_guest_is_not_waited_for_alone(library):
    Refusing(library, "a", "shutdown", active=True)
    with pytest.raises(HostError, match=r"^a: libvirt could not shut it down: Timed out"):
        Connection().stop(["a"], 10**6, force=False)


@pytest.mark.usefixtures("no_sleep")
def test_force_switches_off_every_guest_also_one_whose_shutdown_fails(library):
    first = Refusing(library, "a", "shutdown", "destroy", active=True)
    others = [Refusing(library, "b", "shutdown", active=True), Machine(library, "c", active=True, deaf=True)]
    with pytest.raises(HostError, match=rf"^a: libvirt could not switch it off: {LOCKED[:9]}.*\)$"):
        Connection().stop(["a", "b", "c"], 0, force=True)
    assert (first.active, [other.active for other in others]) == (True, [False, False])


@pytest.mark.usefixtures("no_sleep")
@pytest.mark.parametrize("calls", [["shutdown"], ["shutdown", "destroy"], ["destroy"]])
def test_a_guest_that_ends_meanwhile_is_no_failure(library, calls):
    error = "Requested operation is not valid: domain is not running"
    Refusing(library, "a", *calls, error=error, meanwhile=False, active=True, deaf=True)
    Connection().stop(["a"], 0, force="destroy" in calls)


@pytest.mark.parametrize("gone", ["before", "after"])
def test_a_guest_that_libvirt_forgets_when_it_ends_is_no_failure(library, monkeypatch, gone):
    machine = Machine(library, "a", active=True)

    def lookup(_self, name):
        raise UnknownError(f"no domain {name}")

    def end():
        monkeypatch.setattr(Library, "lookupByName", lookup)

    monkeypatch.setattr(machine, "shutdown", end)
    if gone == "before":
        end()
    Connection().stop(["a"], 10, force=False)


def test_a_guest_that_starts_meanwhile_is_no_failure(library):
    error = "Requested operation is not valid: domain is already running"
    Refusing(library, "a", "create", error=error, meanwhile=True)
    Connection().start("a")
    Refusing(library, "b", "create")
    with pytest.raises(HostError, match=r"^b: libvirt could not start it: Timed out"):
        Connection().start("b")


def test_a_refusal_that_quotes_the_definition_shows_no_password(library, monkeypatch):
    def refuse(_self, xml, _flags):
        raise LibvirtError(f"XML error in {xml}")

    monkeypatch.setattr(Library, "defineXMLFlags", refuse)
    with pytest.raises(HostError) as error:
        Connection().define("plc1", "<domain><devices><graphics type='vnc' passwd='pl4nted'/></devices></domain>")
    assert "pl4nted" not in str(error.value)
    assert "(hidden)" in str(error.value)


PLANTED = (
    "<domain><name>a</name><devices><graphics type='vnc' passwd='pl4nted'/></devices><qemu:commandline "
    "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='secret,id=s,data=other'/></qemu:commandline></domain>"
)


@pytest.mark.parametrize("call", ["create", "shutdown", "destroy", "setAutostart", "undefineFlags", "pinEmulator", "define"])
def test_no_error_of_any_call_shows_a_secret_of_the_definition(library, monkeypatch, call):
    machine = Machine(library, "a", active=call in ("shutdown", "destroy"), deaf=True)
    monkeypatch.setattr(machine, "XMLDesc", lambda _flags: PLANTED, raising=False)

    def refuse(*_arguments):
        raise LibvirtError("internal error: kvm: -object secret,id=s,data=other: Invalid parameter\nkvm: pl4nted")

    monkeypatch.setattr(*((library, "defineXMLFlags") if call == "define" else (machine, call)), refuse, raising=False)
    connection = Connection()
    connection.domains()
    act = {
        "create": lambda: connection.start("a"),
        "shutdown": lambda: connection.stop(["a"], 0, force=False),
        "destroy": lambda: connection.stop(["a"], 0, force=True),
        "setAutostart": lambda: connection.set_autostart("a", autostart=True),
        "undefineFlags": lambda: connection.remove("a"),
        "pinEmulator": lambda: connection.pin("a", "emulator", [1], 2),
        "define": lambda: connection.define("a", PLANTED),
    }[call]
    with pytest.raises(HostError) as error:
        act()
    assert "internal error: kvm: -object secret,id=s,data=(hidden): Invalid parameter kvm: (hidden)" in str(error.value)


def test_a_start_of_an_unknown_domain_shows_nothing_that_looks_like_a_secret(library):
    error = "kvm: -drive file=rbd:pool/x:key=pl4nted:auth=cephx: could not open\nkvm: -object secret,id=s,data=pl4nted: Invalid"
    Refusing(library, "a", "create", error=error)
    with pytest.raises(HostError) as refusal:
        Connection().start("a")
    assert "pl4nted" not in str(refusal.value)
    assert "kvm: -drive file=rbd:pool/x:key=(hidden):auth=cephx: could not open" in str(refusal.value)


# -- disks and pools -------------------------------------------------------------------------------


def pool(kind="dir", path="/fast/"):
    return f"<pool type='{kind}'><name>fast</name><target><path>{path}</path></target></pool>"


@pytest.fixture(name="pools")
def _pools(library):
    found = {}

    def look_up(name):
        if name not in found:
            raise LibvirtError(f"Storage pool not found: no storage pool with matching name '{name}'")
        return SimpleNamespace(XMLDesc=lambda _flags: found[name])

    library.storagePoolLookupByName = look_up
    return found


def test_the_folder_of_a_pool(library, pools):
    pools["fast"] = pool()
    assert Connection(handle=library).pool_folder("fast") == "/fast"


@pytest.mark.parametrize("kind", ["logical", "netfs", "rbd", "zfs"])
def test_a_pool_of_another_type_is_refused_by_name(library, pools, kind):
    pools["fast"] = pool(kind)
    with pytest.raises(PoolError, match=f"^storage pool fast has type {kind}; only pools of type dir"):
        Connection(handle=library).pool_folder("fast")


def test_a_pool_that_is_not_there_is_refused_with_what_shows_those_that_are(library, pools):
    assert pools == {}
    with pytest.raises(PoolError, match=r"^libvirt has no storage pool fast \(Storage pool not found.*virsh pool-list --all"):
        Connection(handle=library).pool_folder("fast")
    with pytest.raises(PoolError, match="this node has no libvirt yet, and so no storage pool fast; run the kvm_host role"):
        NoConnection().pool_folder("fast")


def test_the_path_of_a_volume_is_asked_for_once(library):
    asked = []

    def volume(name):
        asked.append(name)
        if name == "none":
            raise LibvirtError("Storage volume not found: no storage vol with matching name 'none'")
        return SimpleNamespace(path=lambda: f"/images/{name}")

    library.storagePoolLookupByName = lambda _pool: SimpleNamespace(storageVolLookupByName=volume)
    connection = Connection(handle=library)
    assert [connection.find_volume(("default", name)) for name in ("a", "none", "a", "none")] == [
        "/images/a",
        "",
        "/images/a",
        "",
    ]
    assert asked == ["a", "none"]


def test_a_pool_that_is_not_there_tells_no_path(library, pools):
    assert pools == {}
    assert Connection(handle=library).find_volume(("fast", "a")) == ""


def test_a_domain_is_seen_with_the_files_of_its_volumes():
    text = "<domain><devices><disk type='volume'><source pool='p' volume='v'/></disk></devices></domain>"
    domain = FakeDomain(
        text, "plc1", parse(text), running=True, autostart=False, find_volume=lambda volume: f"/{'/'.join(volume)}"
    )
    for tree in (domain.on_files(), domain.live_on_files()):
        assert tree.find("devices/disk/source").get("file") == "/p/v"
    assert (
        FakeDomain(text, "plc1", parse(text), running=True, autostart=False).on_files().find("devices/disk").get("type")
        == "volume"
    )


def test_a_disk_grows_in_bytes(library):
    library.VIR_DOMAIN_BLOCK_RESIZE_BYTES = 1
    Machine(library, "plc1", active=True)
    Connection(handle=library).grow_disk("plc1", "vda", 7 << 30)
    assert library.calls == [("blockResize", "plc1", "vda", 7 << 30, 1)]
