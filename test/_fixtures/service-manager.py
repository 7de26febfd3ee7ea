"""
Starts a program as a service manager would, and prints each datagram that it sends to NOTIFY_SOCKET
as one line of JSON. `hold` on stdin stops the one thread of it that waits in io_uring_enter(2), by
ptrace(2), and `release` lets it go on; each is answered by a line. Ends with the program, whose exit
status is the last line. Usage: service-manager.py SOCKET WATCHDOG_USEC PROGRAM [ARGUMENT...]
"""

import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
IO_URING_ENTER = "426"

libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread):
    arguments = [ctypes.c_long(number) for number in (request, thread, 0, 0)]
    if libc.ptrace(*arguments) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request} of thread {thread}")


def waiting_thread(pid):
    while True:
        for name in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{name}/syscall") as file:
                    if file.read().split()[0] == IO_URING_ENTER:
                        return int(name)
            except (FileNotFoundError, ProcessLookupError):
                pass
        time.sleep(0.01)


def say(value):
    print(json.dumps(value), flush=True)


def main():
    address, watchdog_us, *command = sys.argv[1:]
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(address)
    environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": watchdog_us}
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=2)
    say({"pid": child.pid})
    held = None
    while child.poll() is None or select.select([receiver], [], [], 0)[0]:
        ready, _, _ = select.select([receiver, sys.stdin], [], [], 0.05)
        if receiver in ready:
            say({"state": receiver.recv(65536).decode()})
        elif sys.stdin in ready:
            word = os.read(sys.stdin.fileno(), 64).decode().strip()
            if word == "":
                child.kill()
            if word == "hold":
                held = waiting_thread(child.pid)
                ptrace(PTRACE_SEIZE, held)
                ptrace(PTRACE_INTERRUPT, held)
                os.waitpid(held, WALL)
            if word == "release":
                ptrace(PTRACE_DETACH, held)
            say({"done": word})
    say({"ended": child.returncode})


main()
