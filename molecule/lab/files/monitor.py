"""Give commands to the monitor of a running node: monitor.py SOCKET 'savevm booted' ['cont' ...].

Exit status: 0 done, 1 the monitor refused (its words are on standard error), 3 no QEMU is listening.
"""

import json
import os
import socket
import sys


class RefusedError(Exception):
    """The monitor understood the command and did not carry it out."""


def execute(stream, command, **arguments):
    """One QMP command and its return value; events that come in between are skipped."""
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    for line in stream:
        reply = json.loads(line)
        if "error" in reply:
            raise RefusedError(reply["error"]["desc"])
        if "return" in reply:
            return reply["return"]
    raise RefusedError(f"QEMU closed the monitor during {command}")


def main(path, *commands):
    # a socket address holds about 100 characters: use the short name, from inside its directory
    directory, name = os.path.split(path)
    if os.path.isdir(directory):
        os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(60)
        try:
            monitor.connect(name)
        except (FileNotFoundError, ConnectionRefusedError):
            print(f"no QEMU is listening at {path}", file=sys.stderr)
            return 3
        with monitor.makefile("rw", encoding="utf-8") as stream:
            stream.readline()
            try:
                execute(stream, "qmp_capabilities")
                for command in commands:
                    answer = execute(stream, "human-monitor-command", **{"command-line": command}).strip()
                    if answer.startswith(("Error", "unknown command")):
                        raise RefusedError(f"{command}: {answer}")
                    if answer:
                        print(answer)
            except RefusedError as reason:
                print(reason, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
