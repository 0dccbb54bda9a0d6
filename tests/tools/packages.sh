#!/usr/bin/env bash
# The packages that the commands of this project need on this machine: one list for `make demo`, `make try`, `make test`, CI and
# the lab. A package is needed if its command or file does not exist, so tools from elsewhere count as well.
#
# usage: tests/tools/packages.sh missing PURPOSE...   print the missing packages, one a line
#        tests/tools/packages.sh require PURPOSE...   fail if any is missing, and say how to install them
#        tests/tools/packages.sh install PURPOSE...   install them with apt-get, by sudo where the user is not root
#        tests/tools/packages.sh find-python          print the Python that make takes for .venv; PYTHON names a better one
# purposes: python (to make .venv), test (make test), lab (virtual nodes), openstack (make test-openstack)
# DEMO_INSTALL=no makes `install` the same as `require`.
set -euo pipefail
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # an ordinary user's PATH may lack them
export DEBIAN_FRONTEND=noninteractive

# purpose, package, and a command or file that it brings
list() {
    cat <<'LIST'
test git git
test make make
test shellcheck shellcheck
test hwloc-nox lstopo-no-graphics
test grub-common grub-editenv
test iproute2 ip
test e2fsprogs mkfs.ext4
test qemu-utils qemu-img
test xorriso xorriso
test prometheus promtool
test prometheus-alertmanager amtool
lab qemu-system-x86 qemu-system-x86_64
lab qemu-utils qemu-img
lab mmdebstrap mmdebstrap
lab debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
lab e2fsprogs mke2fs
lab fdisk sfdisk
lab grub-common grub-mkimage
lab grub-pc-bin /usr/lib/grub/i386-pc/boot.img
lab openssh-client ssh
lab openssh-client ssh-keygen
lab python3 python3
openstack mariadb-server-core mariadbd
openstack mariadb-client-core my_print_defaults
openstack erlang-base erl
openstack erlang-crypto /var/lib/dpkg/info/erlang-crypto.list
openstack erlang-eldap /var/lib/dpkg/info/erlang-eldap.list
openstack erlang-inets /var/lib/dpkg/info/erlang-inets.list
openstack erlang-mnesia /var/lib/dpkg/info/erlang-mnesia.list
openstack erlang-os-mon /var/lib/dpkg/info/erlang-os-mon.list
openstack erlang-parsetools /var/lib/dpkg/info/erlang-parsetools.list
openstack erlang-public-key /var/lib/dpkg/info/erlang-public-key.list
openstack erlang-runtime-tools /var/lib/dpkg/info/erlang-runtime-tools.list
openstack erlang-ssl /var/lib/dpkg/info/erlang-ssl.list
openstack erlang-syntax-tools /var/lib/dpkg/info/erlang-syntax-tools.list
openstack erlang-tools /var/lib/dpkg/info/erlang-tools.list
openstack erlang-xmerl /var/lib/dpkg/info/erlang-xmerl.list
LIST
    ((EUID == 0)) || echo 'lab uidmap newuidmap' # mmdebstrap without root
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

pythons=(${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11)

find_python() { # the first Python that can make .venv
    local name
    for name in "${pythons[@]}"; do
        ! new_enough "$name" || ! "$name" -c 'import ensurepip, venv' >/dev/null 2>&1 || { echo "$name" && return; }
    done
}

missing_python() { # the package that brings such a Python, if there is none
    local name
    [[ -z $(find_python) ]] || return 0
    for name in "${pythons[@]}"; do # one that lacks only venv
        new_enough "$name" || continue
        name=${name##*/}
        echo "$([[ $name == python3.* ]] && echo "$name" || echo python3)-venv" && return
    done
    command -v python3 >/dev/null || { echo python3-venv && return; } # brings python3
    for name in python3.14 python3.13 python3.12 python3.11; do # a release whose python3 is older may have these beside it
        [[ -z $(apt-cache show "$name-venv" 2>/dev/null) ]] || break
    done
    echo "$name-venv"
}

missing() { # missing PURPOSE...
    local purpose package sign
    for purpose; do
        case $purpose in
            python) missing_python ;;
            test | lab | openstack)
                while read -r _ package sign; do
                    [[ -e $sign ]] || command -v "$sign" >/dev/null || echo "$package"
                done < <(list | grep "^$purpose ")
                ;;
            *) echo "packages.sh: no purpose '$purpose'; there are python, test, lab and openstack" >&2 && return 2 ;;
        esac
    done | sort -u
}

find_services() { # what Debian starts with the packages, and the tests do not need: they start their own
    local name
    services=()
    for name in "${names[@]}"; do
        [[ $name != prometheus* ]] || services+=("$name.service")
    done
}

refuse() { # refuse REASON: what is missing, and the command for a person to type
    {
        echo "$1:"
        if command -v apt-get >/dev/null; then
            echo "    $( ((EUID == 0)) || echo 'sudo ')apt-get install --no-install-recommends ${names[*]}"
            find_services
            ((${#services[@]} == 0)) || echo "(Debian starts ${services[*]}, which nothing here needs: systemctl disable --now ${services[*]})"
        else
            echo "    ${names[*]}"
            echo '(This machine has no apt-get; Debian 12 or newer and Ubuntu have them under these names.)'
        fi
    } >&2
    exit 1
}

action=${1:-}
shift || true
[[ $action != find-python ]] || { find_python && exit; }
found=$(missing "$@")
mapfile -t names < <(printf '%s' "$found")
case $action in
    missing) [[ -z $found ]] || printf '%s\n' "${names[@]}" ;;
    require) ((${#names[@]} == 0)) || refuse 'This machine lacks packages. Install them' ;;
    install)
        ((${#names[@]})) || exit 0
        case ${DEMO_INSTALL:-yes} in
            yes) ;;
            no) refuse 'DEMO_INSTALL=no, so nothing is installed. This machine lacks packages; install them' ;;
            *) echo "DEMO_INSTALL is '$DEMO_INSTALL'; it may be yes or no." >&2 && exit 1 ;;
        esac
        command -v apt-get >/dev/null || refuse 'Packages cannot be installed here, and this machine lacks'
        as_root=()
        if ((EUID)); then
            command -v sudo >/dev/null || refuse 'This machine lacks packages, and sudo, to install them'
            as_root=(sudo)
            [[ -t 0 ]] || as_root=(sudo -n) # nobody is there to type a password
            "${as_root[@]}" true || refuse 'This machine lacks packages, and sudo was refused. Install them'
        fi
        # sudo would drop the variable
        apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
        printf '\n== packages: %s\n' "${names[*]}"
        "${apt[@]}" update
        found=$(missing "$@") # the newest lists may know another Python
        mapfile -t names < <(printf '%s' "$found")
        "${apt[@]}" --print-uris -y --no-install-recommends install "${names[@]}" |
            awk '/^\047/ {bytes += $3; n++} END {printf "apt-get installs %d packages and downloads %d MB\n", n, bytes / 1e6 + 0.5}'
        find_services
        manage() { # manage VERB: the services, where there is systemd
            ((${#services[@]} == 0)) || ! command -v systemctl >/dev/null || "${as_root[@]}" systemctl -q "$1" "${services[@]}" || true
        }
        manage mask # so that they never start; a port of this machine may be taken
        installed=yes
        "${apt[@]}" -y --no-install-recommends install "${names[@]}" </dev/null >/dev/null || installed=no
        manage unmask
        manage disable
        [[ $installed == yes ]] ||
            refuse 'apt-get failed, see above. This machine lacks packages; install them'
        found=$(missing "$@")
        [[ -z $found ]] || { mapfile -t names < <(printf '%s' "$found") && refuse 'Still missing after the installation'; }
        ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac
