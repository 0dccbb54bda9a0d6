# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real chronyd, chronyc, ptp4l and pmc with software time stamps, in a network namespace of their own; no clock is touched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._time.answers import (
    chrony_state,
    heard_master,
    heard_servers,
    ptp_state,
)
from ansible_collections.realtime.kvm.plugins.module_utils._time.nic import Nic
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import chrony_text, ptp4l_words
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import Wanted
from unit.netns import command_of, run

UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
#: Runs a shell script in the namespace, with a pair of cables v0 and v1.
SHELL = """
import subprocess, sys
for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up", "link set lo up"):
    subprocess.run(["ip", *words.split()], check=True)
sys.exit(subprocess.run(["sh", "-c", *sys.argv[1:]]).returncode)
"""
PTP = """
unshare --net sleep 30 & other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link set v0 netns $other
nsenter -t $other -n ip link set v0 up
timeout 20 nsenter -t $other -n ptp4l -i v0 -2 -S -E --domainNumber=24 --free_running=1 --priority1=1 --logAnnounceInterval=-2 --uds_address=$0/gm -m -q \\
    >$0/gm.log 2>&1 & master=$!
timeout 15 $1 --free_running=1 --uds_address=$0/client -m -q >$0/client.log 2>&1 & client=$!
for n in $(seq 120); do grep -q freq $0/client.log && break; sleep 0.1; done
cat $0/client.log
pmc -u -b 0 -d 24 -s $0/client 'GET TIME_STATUS_NP' 'GET PORT_DATA_SET'
kill $client $master $other 2>/dev/null
"""
CHRONY = """
chronyd -u root -d -x 'local stratum 5' 'port 1123' allow 'cmdport 0' 'bindcmdaddress /' "pidfile $0/server.pid" >$0/server.log 2>&1 &
server=$!
for n in $(seq 50); do test -e $0/server.pid && break; sleep 0.1; done
chronyd -u root -Q -t 5 'server 127.0.0.1 port 1123 iburst maxsamples 1' "pidfile $0/trial.pid" 2>&1
chronyd -u root -d -x -f $0/ours.conf >$0/client.log 2>&1 &
for n in $(seq 50); do chronyc -h $0/run/chronyd.sock -c -n tracking 2>/dev/null | grep -q ',Normal$' && break; sleep 0.1; done
chronyc -h $0/run/chronyd.sock -c -n -m tracking sources
kill $server $! 2>/dev/null
"""


def said(script, folder, *arguments):
    """What a shell script of the namespace prints."""
    ran = subprocess.run(command_of(SHELL, script, folder, *arguments), check=False, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    return ran.stdout


@pytest.fixture(name="folder")
def _folder():
    """A short path, since a socket's has at most 107 characters."""
    path = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(not (shutil.which("ptp4l") and shutil.which("pmc")), reason="needs linuxptp")
def test_ptp4l_takes_our_options_and_hears_a_master(folder):
    wanted = Wanted("ptp", interface="v1", domain=24, transport="L2", makestep="never")
    output = said(PTP, folder, " ".join(ptp4l_words(wanted, "v1", hardware=False)))
    assert heard_master(output), output
    state = ptp_state(output)
    assert state.reference, output
    assert state.synchronised is False, "a trial that runs free steers nothing"
    assert "UNCALIBRATED" in state.why


@pytest.mark.skipif(not (shutil.which("chronyd") and shutil.which("chronyc")), reason="needs chrony")
def test_chrony_takes_our_configuration_and_follows_a_server(folder):
    (folder / "run").mkdir(mode=0o750)
    main = f"pidfile {folder}/client.pid\ncmdport 0\nbindcmdaddress {folder}/run/chronyd.sock\nmakestep 1 3\n"
    (folder / "main.conf").write_text(main)
    text = chrony_text(Wanted("chrony", servers=("127.0.0.1",), makestep="never"), f"{folder}/main.conf", "")
    (folder / "ours.conf").write_text(text.replace("iburst prefer", "port 1123 minpoll -4 maxpoll -4 iburst prefer"))
    output = said(CHRONY, folder)
    assert heard_servers(output) is not None, output
    state = chrony_state(output)
    assert (state.synchronised, state.reference, state.stratum) == (True, "127.0.0.1", 6), output
    assert abs(state.offset_us) < 1e6


def test_the_kernel_says_that_a_pair_of_cables_has_software_stamps_only():
    script = f"""
import subprocess, sys
sys.path.insert(0, {str(UTILS.parent)!r})
from module_utils._host.host import Host
from module_utils._time.nic import read_nic
subprocess.run("ip link add v0 type veth peer name v1".split(), check=True)
print(read_nic(Host(), "v0"))
"""
    assert run(script) == [str(Nic("v0", hardware=False, software=True))]
