"""Runs a program on a terminal of its own.

What comes on standard input is typed, what the program shows goes to standard output, and its exit code is ours.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios


def run(command: list[str]) -> int:
    child, terminal = pty.fork()
    if child == 0:
        lines_and_columns = struct.pack("HHHH", 40, 160, 0, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, lines_and_columns)
        os.execv(command[0], command)
    sources = [terminal, 0]
    while True:
        for source in select.select(sources, [], [])[0]:
            try:
                data = os.read(source, 4096)
            except OSError:
                # On Linux, the end of a terminal is an error.
                data = b""
            if source == terminal:
                if not data:
                    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                os.write(1, data)
            elif data:
                os.write(terminal, data)
            else:
                sources.remove(source)


sys.exit(run(sys.argv[1:]) % 256)
